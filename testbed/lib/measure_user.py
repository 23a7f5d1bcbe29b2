# SPDX-License-Identifier: BSD-3-Clause
"""What `make bench` measures of VMs with a userspace TEE each, and of the host's TEE beside them.

The VMs are booted by the host's command one after the other, when the host's own TEE is no longer
measured: all in the same boot.
"""

from .measure_host import COUNT, INVOKES, XTEST

SYSTEM_CALLS = 2000
STARTS = 30
PAUSE_MS = 500  # what the pool has to fill itself again
SESSIONS = 50
PERF_COUNT = 20
MANY = 20
FIRST_OF_MANY = 11
HASH = f"xtest --hash-perf -a SHA256 -s 1048576 -n {PERF_COUNT} -w 0"
GCM = f"xtest --aes-perf -m GCM -s 1048576 -n {PERF_COUNT} -w 0"
TAS = "/usr/lib/optee_armtz"
HELLO = "8aaaf200-2450-11e4-abe2-0002a5d5c51b"  # the fake backend's
_USER = "user,keys=development"

# The host's own TEE, from the bare host.
BARE = f"""
teec_times invoke {COUNT}
teec_times start {STARTS} {PAUSE_MS}
{HASH}
{GCM}
"""

_READY = "until [ -e /dev/tee0 ]; do sleep 0.1; done; sleep 3"
# By the VM's number: the commands of its guest, and its backend.
_VMS = {
    2: (f"""
echo idle
sleep 8
{INVOKES}teec_times invoke {COUNT}
teec_times calls {SYSTEM_CALLS}
teec_times start {STARTS} {PAUSE_MS}
{HASH}
{GCM}
teec_times sessions {SESSIONS} 15
{XTEST}""", f"{_USER},ta_dir={TAS}"),
    3: (f"teec_times start {STARTS} {PAUSE_MS}", f"{_USER},ta_dir={TAS},pool=0"),
    4: (f"teec_times start {STARTS} {PAUSE_MS}", _USER),
    # An application that is a function of vteed's own: what the way there and back takes.
    5: (f"tee_invoke -u {HELLO} -n {COUNT}", "fake"),
}
# A shell's case: what the guest of each VM runs; {first} is VM 1's.
GUEST = """
case $(sed 's/.*testbed.vm=\\([0-9]*\\).*/\\1/' /proc/cmdline) in
1) {first} ;;
""" + "".join(f"{number}) {_READY}\n{commands} ;;\n"
              for number, (commands, _) in _VMS.items()) + f"""
*) {_READY}
echo idle
sleep 10000 ;;
esac
"""

HOST = f"""
private() {{ # PID...: KiB that these processes share with nobody
    for pid; do cat /proc/$pid/smaps_rollup; done | awk '/^Private_/ {{ sum += $2 }} END {{ print sum + 0 }}'
}}
ta_private() {{ # the same of each TA's process, without the memory of its TA
    for pid in $(pidof vtee-ta); do
        awk '/^[0-9a-f]+-/ {{ own = /memfd:vtee-ta/ }} /^Private_/ && !own {{ sum += $2 }}
             END {{ print "ta_private_kib " sum + 0 }}' /proc/$pid/smaps
    done
}}
vm() {{ # NUMBER BACKEND VCPUS: starts it
    sed -i -e "s|^BACKEND=.*|BACKEND=$2|" -e "s/^VCPUS=.*/VCPUS=$3/" \\
        /etc/testbed/settings
    /usr/lib/testbed/start-vm $1 > /run/logs/vm-$1.log 2>&1 &
    vm=$!
    sleep 2
}}
until_said() {{ # NUMBER WORD
    until grep -q "^$2\\$" /run/logs/guest-$1.out 2> /dev/null; do sleep 0.5; done
}}
keep() {{ cp /run/logs/*-$1.* /logs/; }}
while pidof vteed > /dev/null; do sleep 0.5; done
vm 2 "{_VMS[2][1]}" {{vcpus}}
until_said 2 idle
sleep 4
echo user_idle_kib $(private $(pidof vteed))
until_said 2 held
sleep 5
echo user_held_kib $(private $(pidof vteed))
ta_private
wait $vm
keep 2
""" + "".join(f"vm {number} \"{_VMS[number][1]}\" {{vcpus}}\nwait $vm\nkeep {number}\n"
              for number in (3, 4, 5)) + f"""
n={FIRST_OF_MANY}
while [ $n -lt {FIRST_OF_MANY + MANY} ]; do
    vm $n "{_USER}" 1
    until_said $n idle
    n=$((n + 1))
done
echo user_many $(pidof vteed | wc -w) vms $(pidof vtee-ta | wc -w) tas
echo user_many_kib $(private $(pidof vteed))
keep {FIRST_OF_MANY}
killall qemu-system-aarch64
"""


def _median(values):
    return sorted(values)[len(values) // 2]


def figures(host, guests):
    """All keys from the Output of the host, and of each VM by its number."""
    main = guests[2]
    null, small, large = main.times("invoke_us")
    sha, gcm = main.perf_ms()
    host_sha, host_gcm = host.perf_ms()
    (invoke,), (host_invoke,) = main.times("teec_invoke_us"), host.times("teec_invoke_us")
    (call,) = main.times("syscall_us")
    (host_start,) = host.times("start_us")
    starts = {number: guests[number].times("start_us")[0] for number in (2, 3, 4)}
    (floor,) = guests[5].times("invoke_us")
    idle, held, many = (host.numbers(rf"^user_{name}_kib (\d+)$")[0]
                        for name in ("idle", "held", "many"))
    vms, tas = host.numbers(r"^user_many (\d+) vms")[0], host.numbers(r"vms (\d+) tas$")[0]
    if vms != MANY or tas != 0:
        raise ValueError(f"{vms} VMs with {tas} TAs are idle, not {MANY} with none")
    return {
        "user_invoke_us_p50": null[0],
        "user_invoke_us_p99": null[1],
        "user_invoke_memref_4k_us_p50": small[0],
        "user_invoke_memref_1m_us_p50": large[0],
        "user_teec_invoke_us_p50": invoke[0],
        "user_teec_invoke_us_p99": invoke[1],
        "fake_invoke_us_p50": floor[0],
        "host_teec_invoke_us_p50": host_invoke[0],
        "user_sha256_1m_ms": sha,
        "host_sha256_1m_ms": host_sha,
        "user_aes_gcm_1m_ms": gcm,
        "host_aes_gcm_1m_ms": host_gcm,
        "user_ta_start_pool_ms": starts[2][0] / 1000,
        "user_ta_start_cold_ms": starts[3][0] / 1000,
        "user_ta_start_from_guest_ms": starts[4][0] / 1000,
        "host_ta_start_ms": host_start[0] / 1000,
        "user_syscall_us_p50": call[0],
        "user_syscall_us_p99": call[1],
        "user_sessions_50_ms": main.numbers(r"^sessions_ms ([\d.]+)$")[0],
        "user_vm_private_kib": idle,
        "user_vteed_per_ta_kib": (held - idle) / SESSIONS,
        "ta_private_kib": _median(host.numbers(r"^ta_private_kib (\d+)$")),
        "user_vms_20_private_kib": many,
        "user_xtest_s": main.xtest_seconds(),
        "user_to_fake_invoke_ratio": round(invoke[0] / floor[0], 3),
        "user_to_host_invoke_ratio": round(invoke[0] / host_invoke[0], 3),
        "host_to_user_sha256_ratio": round(host_sha / sha, 2),
        "host_to_user_aes_gcm_ratio": round(host_gcm / gcm, 2),
    }

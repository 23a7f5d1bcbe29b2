# SPDX-License-Identifier: BSD-3-Clause
"""What `make bench` measures of a guest that uses the host's TEE, and of the bare host beside it."""

COUNT = 1000
TRACED = 100
JOBS = 8
RATE_COUNT = 1600
# OP-TEE itself, with the heap of Debian's build, knows no buffer of more pages than some thousand.
REGISTERED = 64 << 20
USED = 8 << 20
REGISTRATIONS = 20
IDLE_SECONDS = 5
# Each with a machine to itself: what a side of the comparison is asked.
INVOKES = f"""
tee_invoke -n {COUNT}
tee_invoke -n {COUNT} -s 4096
tee_invoke -n {COUNT // 2} -s 1048576
"""
_TEE = f"""{INVOKES}
tee_invoke -n {RATE_COUNT} -j 1
tee_invoke -n {RATE_COUNT} -j {JOBS}
tee_invoke -n {REGISTRATIONS} -R {USED}
tee_invoke -n {REGISTRATIONS} -R {USED} -i
"""
XTEST = """
began=$(cut -d' ' -f1 /proc/uptime)
xtest -l 0 -t regression > /tmp/xtest.out; tail -4 /tmp/xtest.out
echo xtest from $began to $(cut -d' ' -f1 /proc/uptime)
"""
# Guest first, then the host, each with the machine to itself.
HOST = f"""
of_vteed() {{ # FILE FIELDS...: their sum over the threads of vteed
    file=$1; shift
    for field in "$@"; do
        for t in /proc/$vteed/task/*; do awk -v f="$field" "$program" $t/$file; done
    done | awk '{{ sum += $1 }} END {{ print sum + 0 }}'
}}
cpu_ticks() {{ program='{{ print $f }}' of_vteed stat 14 15; }}
switches() {{ program='index($0, f ":") == 1 {{ print $2 }}' of_vteed status \
    voluntary_ctxt_switches nonvoluntary_ctxt_switches; }}
until grep -q '^idle$' /run/logs/guest-1.out; do sleep 1; done
vteed=$(pidof vteed)
sleep 2
ticks=$(cpu_ticks); waits=$(switches)
sleep {IDLE_SECONDS}
echo idle_ticks $(($(cpu_ticks) - ticks)) switches $(($(switches) - waits))
echo private_kib $(awk '/^Private_/ {{ sum += $2 }} END {{ print sum }}' /proc/$vteed/smaps_rollup)
wait-guests status 2400
bare_exit
bare_exit -m
vteed --backend fake --socket-path /tmp/probe.sock &
until [ -S /tmp/probe.sock ]; do sleep 0.1; done
VTEE_SOCKET=/tmp/probe.sock LD_PRELOAD=$(find /usr/lib -name libvtee-kvm.so) bare_exit -m |
    sed 's/^mmio_exit_us/mmio_exit_shim_us/'
[ -S /tmp/probe.sock ] && echo 'the shim did not attach'
kill $! 2>/dev/null
{_TEE}{XTEST}"""
GUEST = f"""
until [ -e /dev/tee0 ]; do sleep 0.1; done
sleep 3
{_TEE}tee_invoke -n {REGISTRATIONS} -R {REGISTERED}
mount -t tracefs tracefs /sys/kernel/tracing
cd /sys/kernel/tracing
tee_invoke -n 1 -w 0 > /dev/null
echo 1 > events/optee/optee_invoke_fn_begin/enable
echo > trace
tee_invoke -n {TRACED} -w 0 > /dev/null
echo exits $(grep -c optee_invoke_fn_begin trace)
echo > trace
tee_invoke -n {2 * TRACED} -w 0 > /dev/null
echo exits $(grep -c optee_invoke_fn_begin trace)
echo 0 > events/optee/optee_invoke_fn_begin/enable
cd /
{XTEST}echo idle
sleep {IDLE_SECONDS + 6}
"""


def _of_tee(output, side):
    """The figures that host and guest both have."""
    null, small, large = output.times("invoke_us")
    alone, together = output.numbers(r"^invokes_per_s ([\d.]+)")
    registered, used = output.times("register_us")[:2]
    return {
        f"{side}_invoke_us_p50": null[0],
        f"{side}_invoke_us_p99": null[1],
        f"{side}_invoke_memref_4k_us_p50": small[0],
        f"{side}_invoke_memref_1m_us_p50": large[0],
        f"{side}_invokes_per_s_1_process": alone,
        f"{side}_invokes_per_s_{JOBS}_processes": together,
        f"{side}_register_8m_scattered_us_p50": registered[0],
        f"{side}_register_use_8m_scattered_us_p50": used[0],
        f"{side}_xtest_s": output.xtest_seconds(),
    }


def figures(host, guest):
    """All keys of build/bench.json that come from the emulated machine."""
    exits = guest.numbers(r"^exits (\d+)$")
    result = {**_of_tee(host, "host"), **_of_tee(guest, "guest")}
    # The name that this figure has always had.
    result["host_native_invoke_us"] = result.pop("host_invoke_us_p50")
    result.update({
        "guest_register_64m_scattered_us_p50": guest.times("register_us")[2][0],
        "bare_exit_us": host.times("bare_exit_us")[0][0],
        "mmio_exit_us": host.times("mmio_exit_us")[0][0],
        "mmio_exit_shim_us": host.times("mmio_exit_shim_us")[0][0],
        # What opening and closing cost cancels out between the two runs.
        "exits_per_invoke": (exits[1] - exits[0]) / TRACED,
        "idle_vteed_cpu_ms_per_s":
            host.numbers(r"^idle_ticks (\d+)")[0] * 10 / IDLE_SECONDS,
        "idle_vteed_switches_per_s": host.numbers(r"switches (\d+)$")[0] / IDLE_SECONDS,
        "vteed_private_kib": host.numbers(r"^private_kib (\d+)$")[0],
    })
    floor = result["host_native_invoke_us"] + result["exits_per_invoke"] * result["bare_exit_us"]
    ratios = {
        "guest_to_native_ratio": (result["guest_invoke_us_p50"], result["host_native_invoke_us"]),
        "guest_to_floor_ratio": (result["guest_invoke_us_p50"], floor),
        "guest_memref_1m_to_4k_ratio": (result["guest_invoke_memref_1m_us_p50"],
                                        result["guest_invoke_memref_4k_us_p50"]),
        "host_memref_1m_to_4k_ratio": (result["host_invoke_memref_1m_us_p50"],
                                       result["host_invoke_memref_4k_us_p50"]),
        f"guest_scaling_{JOBS}_processes_ratio": (
            result[f"guest_invokes_per_s_{JOBS}_processes"],
            result["guest_invokes_per_s_1_process"]),
        f"host_scaling_{JOBS}_processes_ratio": (
            result[f"host_invokes_per_s_{JOBS}_processes"],
            result["host_invokes_per_s_1_process"]),
        "mmio_exit_shim_ratio": (result["mmio_exit_shim_us"], result["mmio_exit_us"]),
        "xtest_guest_to_host_ratio": (result["guest_xtest_s"], result["host_xtest_s"]),
    }
    result.update({key: round(above / below, 3) for key, (above, below) in ratios.items()})
    return result

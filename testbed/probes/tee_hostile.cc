// SPDX-License-Identifier: BSD-3-Clause
// tee_hostile: has the hostile TA of testbed/ta do its worst, and looks whether anybody else
// notices.
//
//   tee_hostile [loop]
//
// All the while a session of the calm TA stays open, which must answer after each attack, as must
// its storage. Of an attack that ends the TA all sessions must be dead and a new one must work; of
// another the TA must go on. One line for each: "GOOD NAME ..." or "BAD NAME ...". With `loop` the
// TA computes for ever for a process that asks for a cancellation and then is killed; the VM's end
// must end it. Plain ioctls and no library, so that the same static program runs on hosts and in
// guests.
#include <fcntl.h>
#include <linux/tee.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../ta/calm/calm.h"
#include "../ta/hostile/attacks.h"

namespace {

struct Uuid {
  std::uint32_t low;
  std::uint16_t mid;
  std::uint16_t high;
  std::uint8_t rest[8];
};
constexpr Uuid kHostile = HOSTILE_UUID;
constexpr Uuid kCalm = CALM_UUID;

constexpr std::uint32_t kTargetDead = 0xFFFF3024;
constexpr std::uint32_t kOriginTee = 3;
constexpr std::uint32_t kCancelId = 7;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

// Octets as in RFC 4122.
void Encode(const Uuid& uuid, std::uint8_t out[16]) {
  const std::uint8_t head[8] = {
      static_cast<std::uint8_t>(uuid.low >> 24), static_cast<std::uint8_t>(uuid.low >> 16),
      static_cast<std::uint8_t>(uuid.low >> 8),  static_cast<std::uint8_t>(uuid.low),
      static_cast<std::uint8_t>(uuid.mid >> 8),  static_cast<std::uint8_t>(uuid.mid),
      static_cast<std::uint8_t>(uuid.high >> 8), static_cast<std::uint8_t>(uuid.high)};
  std::memcpy(out, head, sizeof head);
  std::memcpy(out + sizeof head, uuid.rest, sizeof uuid.rest);
}

struct Answer {
  std::uint32_t ret = 0;
  std::uint32_t origin = 0;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
};

// A session through a descriptor of its own.
class Client {
 public:
  explicit Client(const Uuid& uuid) : fd_(open("/dev/tee0", O_RDWR | O_CLOEXEC)) {
    if (fd_ < 0) Die("/dev/tee0");
    tee_ioctl_open_session_arg arg{};
    Encode(uuid, arg.uuid);
    arg.clnt_login = TEE_IOCTL_LOGIN_PUBLIC;
    tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(&arg), sizeof arg};
    if (ioctl(fd_, TEE_IOC_OPEN_SESSION, &buffer) != 0) Die("TEE_IOC_OPEN_SESSION");
    opened_ = {arg.ret, arg.ret_origin, 0, 0};
    session_ = arg.session;
  }
  // Closing the descriptor closes the session.
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Answer& opened() const { return opened_; }

  // Value a and b in and out; a page of memory as the second parameter if `memory`.
  Answer Invoke(std::uint32_t command, std::uint32_t a, std::uint32_t b, bool memory = false) {
    alignas(8) std::array<std::byte, kMessageBytes> message{};
    auto& arg = *reinterpret_cast<tee_ioctl_invoke_arg*>(message.data());
    auto* params = reinterpret_cast<tee_ioctl_param*>(message.data() + sizeof arg);
    arg.func = command;
    arg.session = session_;
    arg.cancel_id = kCancelId;
    arg.num_params = 2;
    params[0].attr = TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_INOUT;
    params[0].a = a;
    params[0].b = b;
    if (memory) {
      params[1].attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INOUT;
      params[1].b = kMemoryBytes;
      params[1].c = Memory();
    }
    tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(message.data()), message.size()};
    if (ioctl(fd_, TEE_IOC_INVOKE, &buffer) != 0) Die("TEE_IOC_INVOKE");
    return {arg.ret, arg.ret_origin, static_cast<std::uint32_t>(params[0].a),
            static_cast<std::uint32_t>(params[0].b)};
  }

  void RequestCancel() const {
    tee_ioctl_cancel_arg arg{kCancelId, session_};
    ioctl(fd_, TEE_IOC_CANCEL, &arg);
  }

 private:
  static constexpr std::size_t kMessageBytes =
      sizeof(tee_ioctl_invoke_arg) + 2 * sizeof(tee_ioctl_param);
  static constexpr std::size_t kMemoryBytes = 4096;

  std::uint64_t Memory() const {
    void* memory =
        mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) Die("mmap");
    tee_ioctl_shm_register_data data{};
    data.addr = reinterpret_cast<std::uint64_t>(memory);
    data.length = kMemoryBytes;
    if (ioctl(fd_, TEE_IOC_SHM_REGISTER, &data) < 0) Die("TEE_IOC_SHM_REGISTER");
    return static_cast<std::uint64_t>(data.id);
  }

  const int fd_;
  std::uint32_t session_ = 0;
  Answer opened_;
};

// kDiesOfIt: with its own end, but it may have written an answer to the caller into the page that
// it shares with vteed first; any answer is a TA's to give.
enum class End { kDies, kDiesOfIt, kGoesOn, kEither };

struct Case {
  const char* name;
  Attack attack;
  std::uint32_t a;
  std::uint32_t b;
  End end;
};

constexpr Case kCases[] = {
    {"nothing", kAttackNone, 0, 0, End::kGoesOn},
    {"panic", kAttackPanic, 0x1234, 0, End::kDies},
    {"jump to 0", kAttackJump, 0, 0, End::kDies},
    {"jump to the end of all", kAttackJump, 0xFFFFFFFC, 0xFFFFFFFF, End::kDies},
    {"jump out of what is user's", kAttackJump, 0, 0xFFFF0000, End::kDies},
    {"jump to an odd address", kAttackJump, 0x40000003, 0, End::kDies},
    {"jump to what it shares with vteed", kAttackJump, 0x40001000, 0, End::kDies},
    {"jump to the thunk", kAttackJump, 0x40000000, 0, End::kEither},
    {"jump into the thunk's data", kAttackJump, 0x40000008, 0, End::kDies},
    {"jump to the runner's head", kAttackJump, 0x400000, 0, End::kDies},
    {"jump to the runner's entry", kAttackJump, 0x400800, 0, End::kDies},
    {"recurse", kAttackRecurse, 0, 0, End::kDies},
    {"compute for ever", kAttackLoop, 0, 0, End::kDies},
    {"exhaust its memory", kAttackExhaust, 0, 0, End::kGoesOn},
    {"take handles", kAttackHandles, 0, 0, End::kGoesOn},
    {"start processes", kAttackSpawn, 0, 0, End::kGoesOn},
    {"say it wrote more than there is", kAttackBigOutput, 0, 0, End::kGoesOn},
    {"log 10,000 lines", kAttackLog, 0, 0, End::kGoesOn},
    {"scribble", kAttackScribble, 0, 0, End::kDiesOfIt},
    {"scribble over all its memory", kAttackScribble, 1, 0, End::kDiesOfIt},
    {"scribble over the runner, too", kAttackScribble, 2, 0, End::kDiesOfIt},
    {"forge an event that is none", kAttackForge, 0xFFFF, 0, End::kDies},
    {"forge that it is ready", kAttackForge, 1, 0, End::kDies},
    {"forge system calls", kAttackForge, 2, 0, End::kEither},
    {"forge its return", kAttackForge, 3, 0, End::kEither},
    {"forge a fault", kAttackForge, 4, 0, End::kDies},
    {"forge that it is done", kAttackForge, 5, 0, End::kDies},
    {"read (Linux 63)", kAttackLinux, 63, 0, End::kDies},
    {"openat (Linux 56)", kAttackLinux, 56, 0, End::kDies},
    {"socket (Linux 198)", kAttackLinux, 198, 0, End::kDies},
    {"clone (Linux 220)", kAttackLinux, 220, 0, End::kDies},
    {"clone3 (Linux 435)", kAttackLinux, 435, 0, End::kDies},
    {"execve (Linux 221)", kAttackLinux, 221, 0, End::kDies},
    {"kill (Linux 129)", kAttackLinux, 129, 0, End::kDies},
    {"ptrace (Linux 117)", kAttackLinux, 117, 0, End::kDies},
    {"process_vm_readv (Linux 270)", kAttackLinux, 270, 0, End::kDies},
    {"mmap (Linux 222)", kAttackLinux, 222, 0, End::kDies},
    {"io_uring_setup (Linux 425)", kAttackLinux, 425, 0, End::kDies},
    {"bpf (Linux 280)", kAttackLinux, 280, 0, End::kDies},
    {"rt_sigreturn (Linux 139)", kAttackLinux, 139, 0, End::kDies},
    {"no such call (Linux 9999)", kAttackLinux, 9999, 0, End::kDies},
    {"exit_group (Linux 94)", kAttackLinux, 94, 0, End::kDies},
    {"mprotect (Linux 226)", kAttackLinux, 226, 0, End::kGoesOn},
    {"wild system calls 1", kAttackWild, 1, 0, End::kEither},
    {"wild system calls 2", kAttackWild, 2, 0, End::kEither},
    {"wild system calls 3", kAttackWild, 3, 0, End::kEither},
};

// The calm TA's session and storage count on.
bool StillCalm(Client& calm, Answer& last) {
  const Answer now = calm.Invoke(kCalmCount, 0, 0);
  const bool good = now.ret == 0 && now.a == last.a + 1 && now.b == last.b + 1;
  if (!good) std::printf("  calm: 0x%x origin %u, %u %u\n", now.ret, now.origin, now.a, now.b);
  last = now;
  return good;
}

// Of a TA that was ended, a new one begins even while the sessions of the old one are open.
bool OpensAgain() {
  Client fresh(kHostile);
  return fresh.opened().ret == 0 && fresh.Invoke(kAttackNone, 0, 0).ret == 0;
}

bool Try(const Case& attack, Client& calm, Answer& last) {
  bool good = false;
  bool died = false;
  {
    Client other(kHostile);
    Client one(kHostile);
    if (one.opened().ret != 0 || other.opened().ret != 0) {
      std::printf("BAD %s: the TA does not open: 0x%x\n", attack.name, one.opened().ret);
      return false;
    }
    const Answer got =
        one.Invoke(attack.attack, attack.a, attack.b, attack.attack == kAttackBigOutput);
    died = got.ret == kTargetDead && got.origin == kOriginTee;
    // All sessions of an instance share its fate.
    const std::uint32_t then = other.Invoke(kAttackNone, 0, 0).ret;
    if (attack.end == End::kDiesOfIt) died = died || then == kTargetDead;
    const bool wanted = attack.end == End::kDies || attack.end == End::kDiesOfIt;
    good = then == (died ? kTargetDead : 0);
    good = good && (attack.end == End::kEither || died == wanted);
    good = good && (!died || OpensAgain());
    std::printf("%s: 0x%x origin %u said %u %u, its other session 0x%x\n", attack.name, got.ret,
                got.origin, got.a, got.b, then);
  }
  good = OpensAgain() && good;
  good = StillCalm(calm, last) && good;
  std::printf("%s %s\n", good ? "GOOD" : "BAD", attack.name);
  std::fflush(stdout);
  return good;
}

// A TA that does not return holds its caller, and nobody else.
bool Loop(Client& calm, Answer& last) {
  const pid_t child = fork();
  if (child < 0) Die("fork");
  if (child == 0) {
    Client looping(kHostile);
    if (fork() == 0) {
      sleep(1);
      looping.RequestCancel();
      _exit(0);
    }
    looping.Invoke(kAttackLoop, 0, 0);
    std::puts("BAD loop: it came back");
    std::fflush(stdout);
    _exit(0);
  }
  bool good = true;
  for (int i = 0; i < 3; ++i) {
    sleep(1);
    good = StillCalm(calm, last) && good;
  }
  kill(child, SIGKILL);
  sleep(1);
  Client another(kCalm);
  good = StillCalm(calm, last) && another.Invoke(kCalmCount, 0, 0).ret == 0 && good;
  std::printf("%s loop: others are served meanwhile\n", good ? "GOOD" : "BAD");
  std::fflush(stdout);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  Client calm(kCalm);
  Answer last = calm.Invoke(kCalmCount, 0, 0);
  if (last.ret != 0) Die("the calm TA");
  // Not by destructors: a session of a TA that computes for ever has no end.
  if (argc > 1 && std::strcmp(argv[1], "loop") == 0) _exit(Loop(calm, last) ? 0 : 1);
  bool good = true;
  for (const Case& attack : kCases) good = Try(attack, calm, last) && good;
  return good ? 0 : 1;
}

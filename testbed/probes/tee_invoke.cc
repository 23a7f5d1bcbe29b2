// SPDX-License-Identifier: BSD-3-Clause
// tee_invoke: times null invocations of a trusted application through /dev/teeN.
//
//   tee_invoke [-d DEVICE] [-u UUID] [-n COUNT] [-w WARMUP] [-s MEMREF_BYTES] [-j PROCESSES]
//   tee_invoke -R BYTES [-i] [-d DEVICE] [-n COUNT]
//
// Prints "invoke_us p50 P p99 Q mean M count N". The command number is one that no TA has: the
// TA is entered, says BAD_PARAMETERS (or so) and returns, which is as null as an unmodified TA
// gets. With -s each call carries one registered memref of that size, in/out. With -j so many
// processes, each with a session of its own, share the calls and begin at once; prints
// "invokes_per_s R jobs J" instead.
// With -R: registers and gives back a buffer of that size whose pages are scattered; prints
// "register_us p50 P p99 Q count N". With -i a command gets the buffer in between, so that the TEE
// itself must know it.
// Plain ioctls and no library, so that the same static program runs on hosts and in guests.
#include <fcntl.h>
#include <linux/tee.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "times.h"

namespace {

// xtest's os_test TA: small, and everywhere where xtest is.
constexpr const char* kDefaultUuid = "5b9e0e40-2636-11e1-ad9e-0002a5d5c51b";
constexpr std::uint32_t kNoSuchCommand = 0x7FFF0000;
constexpr std::uint32_t kOriginTrustedApp = 4;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::array<std::uint8_t, 16> ParseUuid(const char* text) {
  std::array<std::uint8_t, 16> octets{};
  std::size_t n = 0;
  for (const char* p = text; *p != '\0' && n < octets.size();) {
    if (*p == '-') {
      ++p;
      continue;
    }
    unsigned value = 0;
    if (std::sscanf(p, "%2x", &value) != 1) break;
    octets[n++] = static_cast<std::uint8_t>(value);
    p += 2;
  }
  return octets;
}

std::uint32_t OpenSession(int fd, const char* uuid) {
  tee_ioctl_open_session_arg arg{};
  const auto octets = ParseUuid(uuid);
  std::memcpy(arg.uuid, octets.data(), octets.size());
  arg.clnt_login = TEE_IOCTL_LOGIN_PUBLIC;
  tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(&arg), sizeof arg};
  if (ioctl(fd, TEE_IOC_OPEN_SESSION, &buffer) != 0) Die("TEE_IOC_OPEN_SESSION");
  if (arg.ret != 0) {
    std::fprintf(stderr, "open session: 0x%x origin %u\n", arg.ret, arg.ret_origin);
    std::exit(1);
  }
  return arg.session;
}

// tee_ioctl_invoke_arg with the one parameter that follows it.
constexpr std::size_t kMessageBytes = sizeof(tee_ioctl_invoke_arg) + sizeof(tee_ioctl_param);

struct SharedBuffer {
  int fd = -1;  // closing it gives the buffer back
  std::int32_t id = -1;
};

SharedBuffer RegisterMemory(int fd, const void* memory, std::size_t bytes) {
  tee_ioctl_shm_register_data data{};
  data.addr = reinterpret_cast<std::uint64_t>(memory);
  data.length = bytes;
  SharedBuffer buffer;
  buffer.fd = ioctl(fd, TEE_IOC_SHM_REGISTER, &data);
  if (buffer.fd < 0) Die("TEE_IOC_SHM_REGISTER");
  buffer.id = data.id;
  return buffer;
}

void* Anonymous(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Die("mmap");
  return memory;
}

// Memory whose pages are touched in a shuffled order, so that they are neighbours nowhere else.
void* Scattered(std::size_t bytes) {
  auto* memory = static_cast<char*>(Anonymous(bytes));
  madvise(memory, bytes, MADV_NOHUGEPAGE);
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<std::size_t> order(bytes / page);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::minstd_rand(1));
  for (const std::size_t i : order) memory[i * page] = 1;
  return memory;
}

// One session and the command that is invoked on it, with at most one memory reference.
class NullCall {
 public:
  NullCall(int fd, const char* uuid) : fd_(fd) {
    arg().session = OpenSession(fd, uuid);
    arg().func = kNoSuchCommand;
    arg().num_params = 1;
  }
  void UseMemory(std::int32_t id, std::size_t bytes) {
    fresh_.attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INOUT;
    fresh_.b = bytes;
    fresh_.c = static_cast<std::uint64_t>(id);
  }
  // Microseconds that it took.
  double Time() {
    param() = fresh_;
    tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(message_.data()), message_.size()};
    const double start = Micros();
    if (ioctl(fd_, TEE_IOC_INVOKE, &buffer) != 0) Die("TEE_IOC_INVOKE");
    const double took = Micros() - start;
    if (arg().ret_origin != kOriginTrustedApp) {
      std::fprintf(stderr, "the TA was not reached: 0x%x, origin %u\n", arg().ret,
                   arg().ret_origin);
      std::exit(1);
    }
    return took;
  }

 private:
  tee_ioctl_invoke_arg& arg() { return *reinterpret_cast<tee_ioctl_invoke_arg*>(message_.data()); }
  tee_ioctl_param& param() {
    return *reinterpret_cast<tee_ioctl_param*>(message_.data() + sizeof(tee_ioctl_invoke_arg));
  }

  const int fd_;
  tee_ioctl_param fresh_{};
  alignas(8) std::array<std::byte, kMessageBytes> message_{};
};

struct Options {
  const char* device = "/dev/tee0";
  const char* uuid = kDefaultUuid;
  int count = 1000;
  int warmup = 50;
  int jobs = 0;
  std::size_t memref = 0;
  std::size_t registered = 0;
  bool invoke = false;  // with `registered`
};

int Open(const Options& options) {
  const int fd = open(options.device, O_RDWR | O_CLOEXEC);
  if (fd < 0) Die(options.device);
  return fd;
}

int TimeInvokes(const Options& options) {
  const int fd = Open(options);
  NullCall call(fd, options.uuid);
  if (options.memref > 0) {
    void* memory = Anonymous(options.memref);
    std::memset(memory, 1, options.memref);
    call.UseMemory(RegisterMemory(fd, memory, options.memref).id, options.memref);
  }
  std::vector<double> times;
  for (int i = -options.warmup; i < options.count; ++i) {
    const double took = call.Time();
    if (i >= 0) times.push_back(took);
  }
  PrintTimes("invoke_us", std::move(times));
  return 0;
}

int TimeRegistrations(const Options& options) {
  const int fd = Open(options);
  const void* memory = Scattered(options.registered);
  NullCall call(fd, options.uuid);
  std::vector<double> times;
  for (int i = 0; i < options.count; ++i) {
    const double start = Micros();
    const SharedBuffer buffer = RegisterMemory(fd, memory, options.registered);
    if (options.invoke) {
      call.UseMemory(buffer.id, options.registered);
      call.Time();
    }
    close(buffer.fd);
    times.push_back(Micros() - start);
  }
  PrintTimes("register_us", std::move(times));
  return 0;
}

// Invocations of all processes together per second.
int TimeRate(const Options& options) {
  std::array<int, 2> ready{};
  std::array<int, 2> start{};
  if (pipe(ready.data()) != 0 || pipe(start.data()) != 0) Die("pipe");
  const int each = options.count / options.jobs;
  for (int job = 0; job < options.jobs; ++job) {
    if (fork() != 0) continue;
    close(start[1]);
    const int fd = Open(options);
    NullCall call(fd, options.uuid);
    for (int i = 0; i < options.warmup; ++i) call.Time();
    char byte = 1;
    if (write(ready[1], &byte, 1) != 1) _exit(1);
    if (read(start[0], &byte, 1) != 0) _exit(1);  // its end is the start
    for (int i = 0; i < each; ++i) call.Time();
    _exit(0);
  }
  close(start[0]);
  close(ready[1]);
  for (int job = 0; job < options.jobs; ++job) {
    char byte = 0;
    if (read(ready[0], &byte, 1) != 1) Die("a process did not get ready");
  }
  const double began = Micros();
  close(start[1]);
  bool good = true;
  for (int job = 0; job < options.jobs; ++job) {
    int status = 0;
    good = wait(&status) > 0 && status == 0 && good;
  }
  const double seconds = (Micros() - began) / 1e6;
  if (!good) return 1;
  std::printf("invokes_per_s %.1f jobs %d\n", each * options.jobs / seconds, options.jobs);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int option = 0; (option = getopt(argc, argv, "d:u:n:w:s:j:R:i")) != -1;) {
    switch (option) {
      case 'd':
        options.device = optarg;
        break;
      case 'u':
        options.uuid = optarg;
        break;
      case 'n':
        options.count = std::atoi(optarg);
        break;
      case 'w':
        options.warmup = std::atoi(optarg);
        break;
      case 's':
        options.memref = std::strtoul(optarg, nullptr, 0);
        break;
      case 'j':
        options.jobs = std::atoi(optarg);
        break;
      case 'R':
        options.registered = std::strtoul(optarg, nullptr, 0);
        break;
      case 'i':
        options.invoke = true;
        break;
      default:
        return 2;
    }
  }
  if (options.registered > 0) return TimeRegistrations(options);
  return options.jobs > 0 ? TimeRate(options) : TimeInvokes(options);
}

// SPDX-License-Identifier: BSD-3-Clause
// tee_invoke: times null invocations of a trusted application through /dev/teeN.
//
//   tee_invoke [-d DEVICE] [-u UUID] [-n COUNT] [-w WARMUP] [-s MEMREF_BYTES]
//
// Prints "invoke_us p50 P p99 Q mean M count N". The command number is one that no TA has: the
// TA is entered, says BAD_PARAMETERS (or so) and returns, which is as null as an unmodified TA
// gets. With -s each call carries one registered memref of that size, in/out.
// Plain ioctls and no library, so that the same static program runs on hosts and in guests.
#include <fcntl.h>
#include <linux/tee.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

namespace {

// xtest's os_test TA: small, and everywhere where xtest is.
constexpr const char* kDefaultUuid = "5b9e0e40-2636-11e1-ad9e-0002a5d5c51b";
constexpr std::uint32_t kNoSuchCommand = 0x7FFF0000;
constexpr std::uint32_t kTargetDead = 0xFFFF3024;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

double Micros() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
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

std::int32_t RegisterMemory(int fd, std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Die("mmap");
  std::memset(memory, 1, bytes);
  tee_ioctl_shm_register_data data{};
  data.addr = reinterpret_cast<std::uint64_t>(memory);
  data.length = bytes;
  if (ioctl(fd, TEE_IOC_SHM_REGISTER, &data) < 0) Die("TEE_IOC_SHM_REGISTER");
  return data.id;
}

}  // namespace

int main(int argc, char** argv) {
  const char* device = "/dev/tee0";
  const char* uuid = kDefaultUuid;
  int count = 1000;
  int warmup = 50;
  std::size_t memref = 0;
  for (int option = 0; (option = getopt(argc, argv, "d:u:n:w:s:")) != -1;) {
    switch (option) {
      case 'd':
        device = optarg;
        break;
      case 'u':
        uuid = optarg;
        break;
      case 'n':
        count = std::atoi(optarg);
        break;
      case 'w':
        warmup = std::atoi(optarg);
        break;
      case 's':
        memref = std::strtoul(optarg, nullptr, 0);
        break;
      default:
        return 2;
    }
  }
  const int fd = open(device, O_RDWR | O_CLOEXEC);
  if (fd < 0) Die(device);
  alignas(8) std::array<std::byte, kMessageBytes> message{};
  auto& arg = *reinterpret_cast<tee_ioctl_invoke_arg*>(message.data());
  auto& param = *reinterpret_cast<tee_ioctl_param*>(message.data() + sizeof arg);
  arg.session = OpenSession(fd, uuid);
  arg.func = kNoSuchCommand;
  arg.num_params = 1;
  if (memref > 0) {
    param.attr = TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INOUT;
    param.b = memref;
    param.c = static_cast<std::uint64_t>(RegisterMemory(fd, memref));
  }
  const tee_ioctl_param fresh = param;
  tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(message.data()), message.size()};
  std::vector<double> times;
  for (int i = -warmup; i < count; ++i) {
    param = fresh;
    const double start = Micros();
    if (ioctl(fd, TEE_IOC_INVOKE, &buffer) != 0) Die("TEE_IOC_INVOKE");
    if (i >= 0) times.push_back(Micros() - start);
    if (arg.ret == kTargetDead) {
      std::fprintf(stderr, "the TA panicked\n");
      return 1;
    }
  }
  std::sort(times.begin(), times.end());
  double sum = 0;
  for (const double t : times) sum += t;
  const auto at = [&](double share) {
    return times[std::min(times.size() - 1,
                          static_cast<std::size_t>(static_cast<double>(times.size()) * share))];
  };
  std::printf("invoke_us p50 %.1f p99 %.1f mean %.1f count %zu\n", at(0.5), at(0.99),
              sum / static_cast<double>(times.size()), times.size());
  return 0;
}

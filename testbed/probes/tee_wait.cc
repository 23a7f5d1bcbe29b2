// SPDX-License-Identifier: BSD-3-Clause
// tee_wait: a call of a trusted application that takes long, and ways to end it.
//
//   tee_wait [-d DEVICE] [-a MS] [-c MS] [-i] [-s BYTES] MS
//
// Opens a session to xtest's os_test TA, says "begun", and has it wait for MS milliseconds.
// -a: an interval timer signals the thread that calls, which has a handler that does nothing, each
// so many milliseconds. -c: another thread requests cancellation after so long. -i: so does the
// handler of SIGINT. -s: does not ask for the wait but keeps the session open for MS milliseconds
// with a registered buffer of that many bytes. Says "result 0xRET origin N took MS". Plain ioctls
// and no library, so that the same static program runs on hosts and in guests.
#include <fcntl.h>
#include <linux/tee.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace {

constexpr std::array<std::uint8_t, 16> kOsTest = {0x5b, 0x9e, 0x0e, 0x40, 0x26, 0x36, 0x11, 0xe1,
                                                  0xad, 0x9e, 0x00, 0x02, 0xa5, 0xd5, 0xc5, 0x1b};
constexpr std::uint32_t kWait = 9;
constexpr std::uint32_t kCancelId = 7;
constexpr std::size_t kMessageBytes = sizeof(tee_ioctl_invoke_arg) + sizeof(tee_ioctl_param);

int device_fd = -1;
std::uint32_t session = 0;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

void Sleep(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

void OpenSession() {
  tee_ioctl_open_session_arg arg{};
  std::memcpy(arg.uuid, kOsTest.data(), kOsTest.size());
  arg.clnt_login = TEE_IOCTL_LOGIN_PUBLIC;
  tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(&arg), sizeof arg};
  if (ioctl(device_fd, TEE_IOC_OPEN_SESSION, &buffer) != 0) Die("TEE_IOC_OPEN_SESSION");
  if (arg.ret != 0) {
    std::fprintf(stderr, "open session: 0x%x origin %u\n", arg.ret, arg.ret_origin);
    std::exit(1);
  }
  session = arg.session;
}

void SetAlarms(int milliseconds) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  itimerval interval{};
  interval.it_interval = {milliseconds / 1000, milliseconds % 1000 * 1000};
  interval.it_value = interval.it_interval;
  setitimer(ITIMER_REAL, &interval, nullptr);
}

void RequestCancel() {
  tee_ioctl_cancel_arg arg{kCancelId, session};
  ioctl(device_fd, TEE_IOC_CANCEL, &arg);
}

void RegisterMemory(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Die("mmap");
  std::memset(memory, 1, bytes);
  tee_ioctl_shm_register_data data{};
  data.addr = reinterpret_cast<std::uint64_t>(memory);
  data.length = bytes;
  if (ioctl(device_fd, TEE_IOC_SHM_REGISTER, &data) < 0) Die("TEE_IOC_SHM_REGISTER");
}

void InvokeWait(int milliseconds) {
  alignas(8) std::array<std::byte, kMessageBytes> message{};
  auto& arg = *reinterpret_cast<tee_ioctl_invoke_arg*>(message.data());
  auto& param = *reinterpret_cast<tee_ioctl_param*>(message.data() + sizeof arg);
  arg.session = session;
  arg.func = kWait;
  arg.cancel_id = kCancelId;
  arg.num_params = 1;
  param.attr = TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_INPUT;
  param.a = static_cast<std::uint64_t>(milliseconds);
  tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(message.data()), message.size()};
  const auto start = std::chrono::steady_clock::now();
  if (ioctl(device_fd, TEE_IOC_INVOKE, &buffer) != 0) Die("TEE_IOC_INVOKE");
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  std::printf("result 0x%x origin %u took %ld\n", arg.ret, arg.ret_origin,
              static_cast<long>(took.count()));
}

}  // namespace

int main(int argc, char** argv) {
  const char* device = "/dev/tee0";
  int alarm_each = 0;
  int cancel_after = -1;
  std::size_t memory = 0;
  bool on_interrupt = false;
  for (int option = 0; (option = getopt(argc, argv, "a:d:c:is:")) != -1;) {
    switch (option) {
      case 'a':
        alarm_each = std::atoi(optarg);
        break;
      case 'd':
        device = optarg;
        break;
      case 'c':
        cancel_after = std::atoi(optarg);
        break;
      case 'i':
        on_interrupt = true;
        break;
      case 's':
        memory = std::strtoul(optarg, nullptr, 0);
        break;
      default:
        return 2;
    }
  }
  if (optind + 1 != argc) return 2;
  const int milliseconds = std::atoi(argv[optind]);
  device_fd = open(device, O_RDWR | O_CLOEXEC);
  if (device_fd < 0) Die(device);
  OpenSession();
  if (memory > 0) RegisterMemory(memory);
  std::puts("begun");
  std::fflush(stdout);
  if (memory > 0) {
    Sleep(milliseconds);
    return 0;
  }
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  if (on_interrupt) {
    // As a client does that wants Ctrl-C to end its call: the thread that calls cannot.
    pthread_sigmask(SIG_BLOCK, &interrupt, nullptr);
    std::thread([interrupt] {
      int signal = 0;
      sigwait(&interrupt, &signal);
      RequestCancel();
    }).detach();
  }
  if (cancel_after >= 0) {
    std::thread([cancel_after] {
      Sleep(cancel_after);
      RequestCancel();
    }).detach();
  }
  if (alarm_each > 0) SetAlarms(alarm_each);
  InvokeWait(milliseconds);
  std::fflush(stdout);
  _exit(0);
}

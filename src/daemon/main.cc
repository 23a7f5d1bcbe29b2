// SPDX-License-Identifier: BSD-3-Clause
// vteed: the TEE mediator of one virtual machine. Starts with the VM, ends with it. Or, with
// --program-socket, the TEE of programs.
#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <system_error>
#include <thread>

#include "base/log.h"
#include "base/memory.h"
#include "base/socket.h"
#include "daemon/backends.h"
#include "daemon/options.h"
#include "daemon/program_server.h"
#include "daemon/secrets.h"
#include "daemon/service_notify.h"
#include "daemon/vm.h"
#include "guest/guest_memory.h"

namespace vtee::daemon {
namespace {

constexpr int kUsageStatus = 2;
constexpr int kTroubleStatus = 1;

int FailForMemory() {
  std::fputs(
      "vteed: out of memory; raise the memory limit of this process (MemoryMax=, ulimit -v) or "
      "give the machine more\n",
      stderr);
  return kTroubleStatus;
}

int Fail(const Error& error, int status) {
  std::fprintf(stderr, "vteed: %s\n", error.message.c_str());
  NotifyServiceManager("STATUS=" + error.message);
  return status;
}

// Waits for `fd` to be readable. False: SIGTERM or SIGINT came first.
bool WaitReadable(int fd, int signals) {
  std::array<pollfd, 2> fds{{{fd, POLLIN, 0}, {signals, POLLIN, 0}}};
  while (poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) {
  }
  return (fds[1].revents & POLLIN) == 0;
}

Result<UniqueFd> AcceptVm(const std::string& path, int signals) {
  VTEE_ASSIGN_OR_RETURN(const UniqueFd listener, ListenUnix(path));
  NotifyServiceManager("READY=1\nSTATUS=Waiting for the VMM");
  if (!WaitReadable(listener.get(), signals)) return UniqueFd();
  UniqueFd connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int accept_errno = errno;
  unlink(path.c_str());  // one VM per vteed: nobody else can connect
  if (!connection) return ErrnoError(accept_errno, "accept");
  return connection;
}

// Until the VMM or the service manager ends it. std::bad_alloc when memory is lacking for good.
Status ServeVm(Vm& vm, int socket, int signals) {
  while (WaitReadable(socket, signals)) {
    Result<Packet> packet = Packet{};
    const auto receive = [&] { packet = ReceivePacket(socket, sizeof(vmm::ControlMessage)); };
    if (!WithinMemorySoon(receive)) throw std::bad_alloc();
    const Status handled =
        packet.ok() ? vm.HandlePacket(socket, std::move(packet).value()) : Status(packet.error());
    if (handled.ok()) continue;
    // The VMM is gone, perhaps since it asked for what has just been done.
    if (handled.error().code == ErrorCode::kUnavailable) return {};
    return handled.error();
  }
  return {};
}

// Gives the TEE back what the guest or the programs have there. The end of the process does so too,
// but not always: a Linux client that has had more than ten calls at once is kept by the driver,
// and its sessions with it (docs/compatibility.md). It must not keep this process for long either,
// since a TA may take as long as it likes: what is not done by then ends as the process does.
void LeaveTee(std::function<void()> leave) {
  constexpr auto kPatience = std::chrono::milliseconds(2500);
  try {
    auto left = std::make_shared<std::promise<void>>();
    const std::future<void> done = left->get_future();
    std::thread([leave = std::move(leave), left] {
      leave();
      left->set_value();
    }).detach();
    done.wait_for(kPatience);
  } catch (const std::system_error&) {
    return;  // no thread to be had: they end with the process
  } catch (const std::bad_alloc&) {
    return;
  }
}

// Until the service manager ends it.
int ServePrograms(const Options& options, tee::Backend& backend, int signals) {
  const Config& config = options.config;
  if (backend.sessions() == nullptr) {
    return Fail(Error{ErrorCode::kUnsupported, "this backend has no sessions for programs"},
                kUsageStatus);
  }
  auto created = ProgramServer::Create(options.program_socket, *backend.sessions(), config.policy);
  if (!created.ok()) return Fail(created.error(), kUsageStatus);
  auto server = std::move(created).value();
  const tee::VmIdentity identity{config.name, config.uuid};
  backend.OnLifeEvent(tee::LifeEvent::kCreated, identity);
  Log(LogLevel::kInfo, "programs.start",
      {{"socket", options.program_socket}, {"backend", backend.capabilities().description}});
  NotifyServiceManager("READY=1\nSTATUS=Serving programs");
  while (WaitReadable(server->listener(), signals)) server->Accept();
  NotifyServiceManager("STOPPING=1");
  LeaveTee([&] {
    server->Stop();
    backend.OnLifeEvent(tee::LifeEvent::kDestroyed, identity);
    server.reset();
  });
  // As with a VM: calls may still be inside the TEE.
  _exit(0);
}

UniqueFd BlockSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return UniqueFd(signalfd(-1, &set, SFD_CLOEXEC));
}

int Run(Options& options) {
  Config& config = options.config;
  SetLogLevel(config.log_level);
  if (!config.log_file.empty()) {
    const Status log = SetLogFile(config.log_file);
    if (!log.ok()) return Fail(log.error(), kUsageStatus);
  }
  if (config.backend.kind == "user") HideSecrets();  // it has them from here on
  auto backend = MakeBackend(config);
  if (!backend.ok()) return Fail(backend.error(), kUsageStatus);
  if (options.action == Options::Action::kCheck) {
    const optee::StaticWindow& window = config.optee.window;
    if (window.size != 0) std::printf("window: %#lx@%#lx\n", window.size, window.base);
    std::printf("backend: %s\n", backend.value()->capabilities().description.c_str());
    return 0;
  }
  if (config.uuid == tee::Uuid{} &&
      getrandom(config.uuid.octets.data(), config.uuid.octets.size(), 0) < 0) {
    return Fail(ErrnoError(errno, "getrandom"), kTroubleStatus);
  }
  if (!options.program_socket.empty()) {
    const UniqueFd program_signals = BlockSignals();
    return ServePrograms(options, *backend.value(), program_signals.get());
  }
  const Status handler = guest::InstallFaultHandler();
  if (!handler.ok()) return Fail(handler.error(), kTroubleStatus);

  std::unique_ptr<optee::CallRecorder> recorder;
  if (!config.record_file.empty()) {
    auto created = optee::CallRecorder::Create(config.record_file);
    if (!created.ok()) return Fail(created.error(), kUsageStatus);
    recorder = std::move(created).value();
  }

  const UniqueFd signals = BlockSignals();
  UniqueFd connection(options.fd);
  if (connection) {
    fcntl(connection.get(), F_SETFD, FD_CLOEXEC);
  } else {
    auto accepted = AcceptVm(options.socket_path, signals.get());
    if (!accepted.ok()) return Fail(accepted.error(), kUsageStatus);
    connection = std::move(accepted).value();
    if (!connection) return 0;  // told to end while waiting
  }
  Log(LogLevel::kInfo, "vm.start",
      {{"name", config.name},
       {"uuid", tee::ToString(config.uuid)},
       {"backend", backend.value()->capabilities().description}});
  NotifyServiceManager("READY=1\nSTATUS=Serving " + config.name);

  const WaitTimes times = FitWaitTimes(MeasureWakeUpNanos(), config.policy.park_after_us);
  Vm vm(config, times, std::move(backend).value(), std::move(recorder));
  Status served;
  const bool within_memory =
      WithinMemory([&] { served = ServeVm(vm, connection.get(), signals.get()); });
  NotifyServiceManager("STOPPING=1");
  if (!within_memory) {
    FailForMemory();
  } else if (!served.ok()) {
    Log(LogLevel::kError, "vm.protocol", {{"error", served.error().message}});
  }
  LeaveTee([&vm] { vm.Leave(); });
  Log(LogLevel::kInfo, "vm.end", {{"name", config.name}});
  // What is left is of calls that are still inside the TEE. The kernel ends it with them.
  _exit(within_memory && served.ok() ? 0 : kTroubleStatus);
}

}  // namespace
}  // namespace vtee::daemon

int main(int argc, char** argv) {
  using vtee::daemon::Options;
  int status = 0;
  const bool within_memory = vtee::WithinMemory([&] {
    Options options = vtee::daemon::ParseOptions(argc, argv);
    status =
        options.action == Options::Action::kExit ? options.exit_status : vtee::daemon::Run(options);
  });
  return within_memory ? status : vtee::daemon::FailForMemory();
}

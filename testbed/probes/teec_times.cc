// SPDX-License-Identifier: BSD-3-Clause
// teec_times: times what a program asks of a TEE through libteec, with the TA of
// testbed/ta/stopwatch.
//
//   teec_times invoke COUNT               a command that does nothing, on one session
//   teec_times start COUNT PAUSE_MS       opens a session, which starts an instance; closes it
//   teec_times calls COUNT                system calls of the TA, each timed by the TA itself
//   teec_times sessions COUNT HOLD_S      so many sessions open at once, a command on each; while
//                                         they are held "held" is printed and nothing done
//
// Prints "NAME_us p50 P p99 Q mean M count N"; `sessions` prints "sessions_ms M", what opening,
// invoking and closing all of them took. Any libteec.so.2 will do, so that the same program runs on
// a host with a TEE, in a guest, and without either.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "../../src/teec/tee_client_api.h"
#include "../ta/stopwatch/stopwatch.h"
#include "times.h"

namespace {

constexpr TEEC_UUID kStopwatch = STOPWATCH_UUID;
constexpr int kWarmUp = 50;

void Check(const char* what, TEEC_Result result, std::uint32_t origin = 0) {
  if (result == TEEC_SUCCESS) return;
  std::fprintf(stderr, "teec_times: %s: 0x%x, origin %u\n", what, result, origin);
  std::exit(1);
}

class Context {
 public:
  Context() { Check("TEEC_InitializeContext", TEEC_InitializeContext(nullptr, &context_)); }
  ~Context() { TEEC_FinalizeContext(&context_); }
  Context(const Context&) = delete;
  TEEC_Context* get() { return &context_; }

 private:
  TEEC_Context context_{};
};

class Session {
 public:
  explicit Session(Context& context) {
    std::uint32_t origin = 0;
    Check("TEEC_OpenSession",
          TEEC_OpenSession(context.get(), &session_, &kStopwatch, TEEC_LOGIN_PUBLIC, nullptr,
                           nullptr, &origin),
          origin);
  }
  ~Session() { TEEC_CloseSession(&session_); }
  Session(const Session&) = delete;
  void Invoke(std::uint32_t command, TEEC_Operation* operation = nullptr) {
    std::uint32_t origin = 0;
    Check("TEEC_InvokeCommand", TEEC_InvokeCommand(&session_, command, operation, &origin), origin);
  }

 private:
  TEEC_Session session_{};
};

int TimeInvokes(int count) {
  Context context;
  Session session(context);
  std::vector<double> times;
  for (int i = -kWarmUp; i < count; ++i) {
    const double began = Micros();
    session.Invoke(kStopwatchNothing);
    if (i >= 0) times.push_back(Micros() - began);
  }
  PrintTimes("teec_invoke_us", std::move(times));
  return 0;
}

int TimeStarts(int count, unsigned pause_ms) {
  Context context;
  std::vector<double> times;
  for (int i = 0; i <= count; ++i) {
    const double began = Micros();
    Session session(context);
    if (i > 0) times.push_back(Micros() - began);  // the first finds nothing prepared
    usleep(pause_ms * 1000);
  }
  PrintTimes("start_us", std::move(times));
  return 0;
}

int TimeSystemCalls(int count) {
  Context context;
  Session session(context);
  std::vector<std::uint32_t> ticks(static_cast<std::size_t>(count));
  TEEC_Operation operation{};
  operation.paramTypes = TEEC_MEMREF_TEMP_OUTPUT | TEEC_VALUE_OUTPUT << 4;
  for (int round = 0; round < 2; ++round) {  // the first one warms up
    operation.params[0].tmpref = {ticks.data(), ticks.size() * sizeof ticks[0]};
    session.Invoke(kStopwatchSystemCalls, &operation);
  }
  std::vector<double> times;
  for (const std::uint32_t t : ticks) {
    times.push_back(static_cast<double>(t) * 1e6 / operation.params[1].value.a);
  }
  PrintTimes("syscall_us", std::move(times));
  return 0;
}

int HoldSessions(int count, unsigned seconds) {
  Context context;
  std::vector<std::unique_ptr<Session>> sessions;
  const double began = Micros();
  for (int i = 0; i < count; ++i) sessions.push_back(std::make_unique<Session>(context));
  for (const auto& session : sessions) session->Invoke(kStopwatchNothing);
  const double held = Micros();
  std::printf("held\n");
  std::fflush(stdout);
  sleep(seconds);
  const double released = Micros();
  sessions.clear();
  std::printf("sessions_ms %.1f\n", (held - began + Micros() - released) / 1e3);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 2 ? argv[1] : "";
  const int count = argc > 2 ? std::atoi(argv[2]) : 0;
  const char* more = argc > 3 ? argv[3] : "0";
  if (what == "invoke" && count > 0) return TimeInvokes(count);
  if (what == "start" && count > 0)
    return TimeStarts(count, static_cast<unsigned>(std::atoi(more)));
  if (what == "calls" && count > 0) return TimeSystemCalls(count);
  if (what == "sessions" && count > 0) {
    return HoldSessions(count, static_cast<unsigned>(std::atoi(more)));
  }
  std::fprintf(stderr, "usage: teec_times invoke|start|calls|sessions COUNT [...]\n");
  return 2;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "teec/context.h"

#include <unistd.h>

#include <cstdio>
#include <map>

#include "program/packet.h"

namespace vtee::teec {
namespace {

struct Contexts {
  std::mutex mutex;
  std::map<int, std::shared_ptr<Context>> by_fd;
};

Contexts& OfProcess() {
  static Contexts contexts;
  return contexts;
}

program::Message Of(program::MessageType type) {
  program::Message message;
  message.type = type;
  return message;
}

}  // namespace

Context::Context(UniqueFd socket) : socket_(std::move(socket)), process_(getpid()) {}

TEEC_Result Context::Connect(const char* path, std::shared_ptr<Context>& context) {
  auto socket = ConnectUnix(path);
  if (!socket.ok()) {
    std::fprintf(stderr,
                 "libteec: %s; start the program with vtee ta-run, or name the socket of a "
                 "running vteed in %s\n",
                 socket.error().message.c_str(), program::kSocketVariable);
    return TEEC_ERROR_ITEM_NOT_FOUND;
  }
  std::shared_ptr<Context> fresh(new Context(std::move(socket).value()));
  if (!program::Send(fresh->fd(), Of(program::MessageType::kHello)).ok()) {
    return TEEC_ERROR_COMMUNICATION;
  }
  const auto reply = program::Receive(fresh->fd());
  if (!reply.ok() || reply->message.type != program::MessageType::kHelloReply) {
    return TEEC_ERROR_COMMUNICATION;
  }
  if (reply->message.code != TEEC_SUCCESS) {
    std::fprintf(stderr, "libteec: %.*s\n", static_cast<int>(sizeof reply->message.text),
                 reply->message.text);
    return reply->message.code;
  }
  if (reply->message.lanes > 1) fresh->max_lanes_ = reply->message.lanes;
  context = std::move(fresh);
  return TEEC_SUCCESS;
}

std::shared_ptr<Context> Context::Find(const TEEC_Context* context) {
  if (context == nullptr) return nullptr;
  Contexts& contexts = OfProcess();
  const std::lock_guard lock(contexts.mutex);
  const auto found = contexts.by_fd.find(context->imp.fd);
  return found != contexts.by_fd.end() ? found->second : nullptr;
}

void Context::Keep(const std::shared_ptr<Context>& context) {
  Contexts& contexts = OfProcess();
  const std::lock_guard lock(contexts.mutex);
  contexts.by_fd[context->fd()] = context;
}

void Context::Forget(const TEEC_Context* context) {
  Contexts& contexts = OfProcess();
  const std::lock_guard lock(contexts.mutex);
  contexts.by_fd.erase(context->imp.fd);
}

bool Context::InThisProcess() const { return process_ == getpid(); }

void Context::Cancel(std::uint32_t session) {
  program::Message message = Of(program::MessageType::kCancel);
  message.session = session;
  static_cast<void>(program::Send(fd(), message));
}

std::unique_ptr<Lane> Context::NewLane() {
  auto pair = MakeSocketPair();
  if (!pair.ok()) return nullptr;
  if (!program::Send(fd(), Of(program::MessageType::kLane), pair->second.get()).ok()) {
    return nullptr;
  }
  return std::make_unique<Lane>(std::move(pair->first));
}

std::unique_ptr<Lane> Context::Take() {
  std::unique_lock lock(mutex_);
  given_back_.wait(lock, [this] { return !idle_.empty() || lanes_ < max_lanes_; });
  if (!idle_.empty()) {
    // The one used last: its memory is the warmest.
    std::unique_ptr<Lane> lane = std::move(idle_.back());
    idle_.pop_back();
    return lane;
  }
  std::unique_ptr<Lane> lane = NewLane();
  if (lane != nullptr) ++lanes_;
  return lane;
}

void Context::GiveBack(std::unique_ptr<Lane> lane) {
  if (lane == nullptr) return;
  {
    const std::lock_guard lock(mutex_);
    if (lane->usable()) {
      idle_.push_back(std::move(lane));
    } else {
      --lanes_;
    }
  }
  given_back_.notify_one();
}

}  // namespace vtee::teec

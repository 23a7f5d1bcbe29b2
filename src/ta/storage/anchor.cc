// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/anchor.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ta/storage/durable_file.h"

namespace vtee::ta {
namespace {

constexpr std::string_view kAnchorMagic = "vteeanc2";
constexpr std::size_t kSlots = 2;
// No sector of a disk, and no page of the kernel's, is shared by two of them.
constexpr std::size_t kSlotBytes = 4096;

struct Text {
  std::uint64_t turn = 0;
  std::uint64_t count = 0;
  AnchorClaim claim;
  ConstBytes signed_part;
  ConstBytes mac;
};

std::optional<Text> Parse(ConstBytes slot) {
  Decoder decoder(slot);
  Text text;
  const ConstBytes magic = decoder.Bytes(kAnchorMagic.size());
  const ConstBytes vm = decoder.Bytes(text.claim.vm.octets.size());
  text.turn = decoder.U64();
  text.claim.value.epoch = decoder.U64();
  const ConstBytes state = decoder.Bytes(text.claim.value.state.size());
  text.count = decoder.U64();
  text.signed_part = slot.first(slot.size() - decoder.rest().size());
  text.mac = decoder.Bytes(sizeof(Digest));
  if (!decoder.ok() || !std::ranges::equal(magic, std::as_bytes(std::span(kAnchorMagic)))) {
    return std::nullopt;
  }
  std::ranges::copy(vm, std::as_writable_bytes(std::span(text.claim.vm.octets)).begin());
  std::ranges::copy(state, text.claim.value.state.begin());
  return text;
}

std::size_t PlaceOf(std::uint64_t turn) { return turn % kSlots * kSlotBytes; }

ConstBytes SlotAt(ConstBytes file, std::size_t place) {
  const std::size_t start = std::min(place, file.size());
  return file.subspan(start, std::min(kSlotBytes, file.size() - start));
}

}  // namespace

SecretBytes FileAnchor::Encode(const Slot& slot) const {
  Encoder text;
  text.Bytes(std::as_bytes(std::span(kAnchorMagic)))
      .Bytes(std::as_bytes(std::span(vm_.octets)))
      .U64(slot.turn)
      .U64(slot.value.epoch)
      .Bytes(slot.value.state)
      .U64(slot.count);
  SecretBytes bytes = text.Bytes(Hmac(key_, text.bytes())).bytes();
  bytes.resize(kSlotBytes);
  return bytes;
}

std::optional<FileAnchor::Slot> FileAnchor::Decode(ConstBytes bytes) const {
  const auto text = Parse(bytes);
  if (!text || !SameSecret(Hmac(key_, text->signed_part), text->mac) || text->claim.vm != vm_ ||
      text->claim.value.epoch == 0) {
    return std::nullopt;
  }
  return Slot{text->turn, text->claim.value, text->count};
}

Error FileAnchor::Refusal(ConstBytes file) const {
  const auto claim = ClaimOfAnchor(file);
  return Error{
      ErrorCode::kInvalidArgument,
      claim && claim->vm != vm_
          ? "the anchor " + path_ + " belongs to another VM: give each VM an anchor of its own"
          : "the anchor " + path_ +
                " is damaged or was made with another key: put the newest one back"};
}

Result<AnchorValue> FileAnchor::Read() {
  UniqueFd file(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!file && errno == ENOENT) {
    VTEE_TRY(CheckMissing());
    return AnchorValue();
  }
  if (!file) return ErrnoError(errno, "cannot open " + path_);
  VTEE_ASSIGN_OR_RETURN(const SecretBytes bytes, ReadToEnd(file.get(), path_));
  std::optional<Slot> newest;
  for (std::size_t i = 0; i < kSlots; ++i) {
    const std::size_t place = i * kSlotBytes;
    const auto slot = Decode(SlotAt(bytes, place));
    if (slot && PlaceOf(slot->turn) == place && (!newest || slot->turn > newest->turn)) {
      newest = slot;
    }
  }
  // A size of its own means that it was never only half made.
  if (!newest || bytes.size() != kSlots * kSlotBytes) return Refusal(bytes);
  VTEE_TRY(CheckCount(newest->count));
  file_ = std::move(file);
  turn_ = newest->turn;
  return newest->value;
}

// Its blocks are on the disk before it has its name, so that no later write has to find some.
Status FileAnchor::Make(const Slot& slot) {
  SecretBytes bytes(kSlots * kSlotBytes);
  std::ranges::copy(Encode(slot), bytes.begin() + static_cast<std::ptrdiff_t>(PlaceOf(slot.turn)));
  VTEE_TRY(WriteDurably(path_, bytes));
  file_.Reset(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!file_) return ErrnoError(errno, "cannot open " + path_);
  return {};
}

Status FileAnchor::Write(const Slot& slot) {
  const SecretBytes bytes = Encode(slot);
  const ssize_t written =
      ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(PlaceOf(slot.turn)));
  if (written >= 0 && static_cast<std::size_t>(written) != bytes.size()) errno = ENOSPC;
  if (static_cast<std::size_t>(written) != bytes.size()) {
    return ErrnoError(errno, "cannot write " + path_);
  }
  if (::fdatasync(file_.get()) != 0) return ErrnoError(errno, "cannot write back " + path_);
  return {};
}

Status FileAnchor::Advance(const AnchorValue& value) {
  if (counting_.counter) VTEE_TRY(LearnCount());
  Slot slot{turn_ + 1, value, 0};
  const bool counts =
      counting_.counter && (due_ || changes_ + 1 >= counting_.every || written_ != count_);
  if (counting_.counter) slot.count = counts ? count_ + 1 : count_;
  VTEE_TRY(file_ ? Write(slot) : Make(slot));
  // Until then the same slot is tried again: the other one holds the last good value.
  turn_ = slot.turn;
  written_ = slot.count;
  if (counts) return Count();
  ++changes_;
  return {};
}

Status FileAnchor::Restart(const AnchorValue& value) {
  file_.Reset();
  turn_ = 0;
  due_ = true;
  unsure_ = false;
  return Advance(value);
}

// The counter without the file: who has removed everything but the root would begin with nothing.
Status FileAnchor::CheckMissing() {
  if (!counting_.counter) return {};
  const auto count = counting_.counter->Read();
  if (!count.ok() && count.error().code != ErrorCode::kNotFound) return count.error();
  if (!count.ok()) return {};
  return Error{ErrorCode::kInvalidArgument,
               "the anchor " + path_ + " is missing, but " + counting_.counter->name() +
                   " says that there was one: put it back, or, if nothing has been stored yet, "
                   "destroy the state (vtee state destroy) and begin anew"};
}

Status FileAnchor::CheckCount(std::uint64_t count) {
  if (counting_.ignore) return {};
  const auto refused = [&](const std::string& why) {
    return Error{ErrorCode::kInvalidArgument, "the anchor " + path_ + " " + why};
  };
  if (!counting_.counter) {
    if (count == 0) return {};
    return refused(
        "goes with a TPM's counter, which is not asked: add state_key=tpm:, or restore a backup "
        "without the TPM (vtee state restore --accept-rollback)");
  }
  const std::string name = counting_.counter->name();
  const auto real = counting_.counter->Read();
  if (!real.ok() && real.error().code != ErrorCode::kNotFound) return real.error();
  if (count == 0 || !real.ok()) {
    return refused("and " + name +
                   " do not go together: the TPM was cleared, is another one, or was not used "
                   "before; restore a backup (vtee state restore --accept-rollback)");
  }
  count_ = *real;
  written_ = count;
  if (count == count_) return {};
  if (count == count_ + 1) return Count();
  return refused((count < count_ ? "is older than what the VM last used: " + name + " is at "
                                 : "is ahead of what should be: " + name + " is at ") +
                 std::to_string(count_) + ", not " + std::to_string(count) +
                 "; put back the newest anchor and store, or, if going back is meant and safe, "
                 "restore a backup (vtee state restore --accept-rollback)");
}

Status FileAnchor::LearnCount() {
  if (!file_) {
    // The first one. What crashed here before has left one.
    VTEE_ASSIGN_OR_RETURN(count_, counting_.counter->Make());
    written_ = count_;
  } else if (unsure_) {
    VTEE_ASSIGN_OR_RETURN(count_, counting_.counter->Read());
    unsure_ = false;
    if (count_ == written_) {
      due_ = false;
      changes_ = 0;
    }
  }
  return {};
}

Status FileAnchor::Count() {
  unsure_ = true;
  VTEE_ASSIGN_OR_RETURN(count_, counting_.counter->Increment());
  if (count_ != written_) {
    return Error{ErrorCode::kUnavailable,
                 counting_.counter->name() + " is counted by somebody else, too"};
  }
  unsure_ = false;
  due_ = false;
  changes_ = 0;
  return {};
}

std::optional<AnchorClaim> ClaimOfAnchor(ConstBytes file) {
  std::optional<Text> newest;
  for (std::size_t i = 0; i < kSlots; ++i) {
    const auto text = Parse(SlotAt(file, i * kSlotBytes));
    if (text && (!newest || text->turn > newest->turn)) newest = text;
  }
  if (!newest) return std::nullopt;
  return newest->claim;
}

}  // namespace vtee::ta

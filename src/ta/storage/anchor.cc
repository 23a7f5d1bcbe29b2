// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/anchor.h"

#include <algorithm>

#include "ta/storage/durable_file.h"

namespace vtee::ta {
namespace {

constexpr std::string_view kMagic = "vteeanc1";

}  // namespace

SecretBytes FileAnchor::Encode(const AnchorValue& value) const {
  Encoder text;
  text.Bytes(std::as_bytes(std::span(kMagic)))
      .Bytes(std::as_bytes(std::span(vm_.octets)))
      .U64(value.epoch)
      .Bytes(value.state);
  const Digest mac = Hmac(key_, text.bytes());
  return text.Bytes(mac).bytes();
}

Result<AnchorValue> FileAnchor::Read() {
  VTEE_ASSIGN_OR_RETURN(auto file, ReadSmallFile(path_));
  AnchorValue value;
  if (!file) return value;
  Decoder decoder(*file);
  decoder.Bytes(kMagic.size());
  const ConstBytes owner = decoder.Bytes(vm_.octets.size());
  value.epoch = decoder.U64();
  const ConstBytes state = decoder.Bytes(value.state.size());
  if (decoder.ok()) std::copy(state.begin(), state.end(), value.state.begin());
  if (decoder.ok() && SameSecret(*file, Encode(value)) && value.epoch != 0) return value;
  const bool foreign = decoder.ok() && !SameSecret(owner, std::as_bytes(std::span(vm_.octets)));
  return Error{
      ErrorCode::kInvalidArgument,
      foreign ? "the anchor " + path_ + " belongs to another VM: give each VM an anchor of its own"
              : "the anchor " + path_ +
                    " is damaged or was made with another key: put the newest one back"};
}

Status FileAnchor::Advance(const AnchorValue& value) { return WriteDurably(path_, Encode(value)); }

}  // namespace vtee::ta

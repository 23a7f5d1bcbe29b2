// SPDX-License-Identifier: BSD-3-Clause
// StoreState: what stands for the whole content of a store, in a few bytes.
//
// `sum` is a multiset hash: the sum, modulo 2^256, of a keyed hash of every row. It changes with a
// row at little cost, and is the same for no other set of rows that somebody without the key can
// make. Nobody without the key may see it, as differences of sums could be combined to others: the
// state is kept encrypted.
// Threading: values. Not supported: telling which row is wrong.
#pragma once

#include <cstdint>

#include "ta/storage/anchor.h"
#include "ta/storage/seal.h"
#include "tee/types.h"

namespace vtee::ta {

struct StoreState {
  std::uint64_t epoch = 0;  // number of transactions so far
  Digest sum{};
  std::uint64_t next_object = 1;
  std::uint64_t bytes = 0;  // what counts against the quota
  Digest predecessor{};     // AnchorValue::state of the epoch before

  void Add(const Digest& row);
  void Subtract(const Digest& row);
  SecretBytes Encode() const;
  bool Decode(ConstBytes bytes);
  AnchorValue Anchored(ConstBytes key) const;
};

// Keys of a store, derived from the one it is opened with.
struct StoreKeys {
  explicit StoreKeys(ConstBytes root, const tee::Uuid& vm);
  SecretBytes index;   // of names, for looking them up
  SecretBytes row;     // of rows, for the sum
  SecretBytes state;   // of the state
  SecretBytes data;    // of names, records and blocks; see DataKey()
  SecretBytes anchor;  // of what the anchor remembers

  // A key for one object in one epoch: random nonces never wear it out.
  SecretBytes DataKey(std::uint64_t object, std::uint64_t epoch) const;
  SecretBytes StateKeyOf(std::uint64_t epoch) const;
};

}  // namespace vtee::ta

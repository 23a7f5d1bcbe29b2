// SPDX-License-Identifier: BSD-3-Clause
// For tests: the published test vectors in the files of Debian's python3-cryptography-vectors (NIST
// CAVP, RFCs), read as the test runs. A file that is not there, or in which the test finds nothing
// to do, is a failure.
//
// Blocks of "name = value" lines end with an empty line. What an earlier block or a heading
// ("[Taglen = 96]") has said still holds: keys and domain parameters come once for many vectors.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "ta/crypto/test_bytes.h"

namespace vtee::ta {

// The vector that a block completes.
class Vector {
 public:
  // This block has it.
  bool Has(std::string_view name) const;
  // Of this block, else the latest. A name that has never come is a failure.
  const std::string& Text(std::string_view name) const;
  bool Is(std::string_view name, std::string_view value) const { return Text(name) == value; }
  Bytes Octets(std::string_view name) const { return Hex(Text(name)); }
  // Of hexadecimal digits without leading zeros, perhaps an odd number of them.
  Bytes Number(std::string_view name) const;
  // Decimal.
  std::size_t Count(std::string_view name) const;
  // "Result = P" or "F (why)".
  bool passes() const { return Text("Result").starts_with("P"); }
  // Between the latest brackets.
  const std::string& heading() const { return heading_; }

 private:
  friend class VectorReader;
  struct Field {
    std::string text;
    int block;  // that it came in; 0: a heading
  };
  std::map<std::string, Field, std::less<>> fields_;
  std::string heading_;
  int block_ = 1;
  bool empty_ = true;  // nothing has come in this block
};

// True: the vector was one for the test. After a failure the rest of the file is left out.
using CheckVector = std::function<bool(const Vector&)>;

// How many vectors of `file`, a path in the package's folder, `check` took.
int ForEachVector(const std::string& file, const CheckVector& check);
// Of the files in `folder` that end so; each must have some.
int ForEachVectorIn(const std::string& folder, std::string_view ending, const CheckVector& check);
// Of a file with a line "# Name:" above each value, as RSA Security wrote them; `last` completes a
// vector.
int ForEachTitledVector(const std::string& file, std::string_view last, const CheckVector& check);

}  // namespace vtee::ta

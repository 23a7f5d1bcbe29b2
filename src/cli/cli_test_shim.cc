// SPDX-License-Identifier: BSD-3-Clause
// A library that can be preloaded and does nothing, in the place of the shim.
namespace vtee::cli {
extern const int kTestShim;
const int kTestShim = 1;
}  // namespace vtee::cli

// SPDX-License-Identifier: BSD-3-Clause
// Names of table-driven tests: the `name` member of a row.
#pragma once

#include <gtest/gtest.h>

#include <string>

namespace vtee {

struct RowName {
  template <typename Row>
  std::string operator()(const ::testing::TestParamInfo<Row>& row) const {
    return row.param.name;
  }
};

}  // namespace vtee

// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/tee_device.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace vtee::backend {
namespace {

TEST(OpenTeeDevice, SentencesNameTheRemedy) {
  struct Row {
    int err;
    ErrorCode code;
    const char* text;
  };
  const Row rows[] = {
      {EACCES, ErrorCode::kPermissionDenied, "ls -l /dev/tee0"},
      {EPERM, ErrorCode::kPermissionDenied, "group that owns the device"},
      {ENOENT, ErrorCode::kNotFound, "modprobe optee"},
      {ENODEV, ErrorCode::kNotFound, "ls /dev/tee*"},
      {EBUSY, ErrorCode::kSystem, "tee-supplicant"},
      {EMFILE, ErrorCode::kResourceExhausted, "LimitNOFILE"},
      {EIO, ErrorCode::kSystem, "/dev/tee0: "},
  };
  for (const Row& row : rows) {
    const Error error = OpenTeeDeviceError(row.err, "/dev/tee0");
    EXPECT_EQ(error.code, row.code) << row.err;
    EXPECT_NE(error.message.find(row.text), std::string::npos) << error.message;
    EXPECT_EQ(error.message.find("/dev/tee0"), 0u) << error.message;
  }
}

TEST(OpenTeeDevice, MissingDevice) {
  const auto device = OpenTeeDevice("/dev/tee-there-is-none");
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().code, ErrorCode::kNotFound);
}

TEST(OpenTeeDevice, NotADevice) {
  const auto device = OpenTeeDevice("/proc/self/comm");
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().code, ErrorCode::kInvalidArgument);
}

TEST(OsRevision, Parse) {
  struct Row {
    const char* text;
    bool found;
    std::uint32_t major;
    std::uint32_t minor;
  };
  const Row rows[] = {
      {"4.10", true, 4, 10},
      {"4.5 (1a2b3c)", true, 4, 5},
      {"OP-TEE 3.19.0", true, 3, 19},
      {"build 7 of 4.5", true, 4, 5},
      {"", false, 0, 0},
      {"4", false, 0, 0},
      {"4.", false, 0, 0},
      {"99999999999.1", false, 0, 0},
      {"none", false, 0, 0},
  };
  for (const Row& row : rows) {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
    EXPECT_EQ(ParseOsRevision(row.text, major, minor), row.found) << row.text;
    EXPECT_EQ(major, row.major) << row.text;
    EXPECT_EQ(minor, row.minor) << row.text;
  }
}

TEST(OsRevision, UnknownWithoutSysfs) {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  EXPECT_FALSE(ReadOsRevision("/nonexistent", "/dev/null", major, minor));
  EXPECT_FALSE(ReadOsRevision("/sys", "/dev/null", major, minor));
}

}  // namespace
}  // namespace vtee::backend

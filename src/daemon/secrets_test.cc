// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/secrets.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "base/locked_memory.h"
#include "ta/crypto/secret.h"

namespace vtee::daemon {
namespace {

// In a process of its own; returns what it logged.
template <typename Work>
std::string Logged(const Work& work) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    work();
    std::fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << text;
  return text;
}

TEST(Secrets, AreKeptOutOfDumpsAndOtherProcesses) {
  Logged([] {
    HideSecrets();
#if !defined(__SANITIZE_ADDRESS__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
    return;
#endif
#endif
    EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
#endif
  });
}

TEST(Secrets, AreWhereTheyStay) {
  Logged([] {
    const ta::SecretBytes before(32);
    HideSecrets();
    ta::SecretBytes key(32);
    const ta::SecretBytes data(100000);
    EXPECT_TRUE(FreeLocked(key.data(), 0));
    EXPECT_FALSE(FreeLocked(const_cast<std::byte*>(data.data()), 0));
    EXPECT_FALSE(FreeLocked(const_cast<std::byte*>(before.data()), 0));
  });
}

TEST(Secrets, OneLineSaysWhenTheyMayBeSwapped) {
  const std::string log = Logged([] {
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) return;
    const rlimit none{0, 0};
    setrlimit(RLIMIT_MEMLOCK, &none);
    HideSecrets();
  });
  if (log.empty()) GTEST_SKIP() << "the limit does not count here";
  EXPECT_NE(log.find("keys.unlocked"), std::string::npos) << log;
  EXPECT_NE(log.find("LimitMEMLOCK="), std::string::npos) << log;
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

}  // namespace
}  // namespace vtee::daemon

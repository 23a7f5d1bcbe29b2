/* SPDX-License-Identifier: BSD-3-Clause
 * Uses every function that libvtee-kvm.so interposes and checks that it still does its work. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) \
  if (!(condition)) return __LINE__ % 251 + 1

int main(void) {
  int ends[2];
  int queued = 0;
  CHECK(pipe(ends) == 0);
  CHECK(write(ends[1], "abc", 3) == 3);
  CHECK(ioctl(ends[0], FIONREAD, &queued) == 0 && queued == 3);
  CHECK(ioctl(ends[0], TIOCGWINSZ, &queued) == -1 && errno == ENOTTY);
  CHECK(ioctl(-1, FIONREAD, &queued) == -1 && errno == EBADF);
  CHECK(ioctl(ends[0], 0xae80, 0) == -1);
  CHECK(ioctl(ends[0], 0xae01, 0) == -1);
  const int copy = dup(ends[0]);
  CHECK(copy > ends[1]);
  CHECK(dup2(ends[0], copy) == copy && dup2(copy, copy) == copy);
  CHECK(dup2(-1, copy) == -1 && errno == EBADF && fcntl(copy, F_GETFD) == 0);
  CHECK(dup3(ends[0], copy, O_CLOEXEC) == copy && fcntl(copy, F_GETFD) == FD_CLOEXEC);
  CHECK(dup3(copy, copy, 0) == -1 && errno == EINVAL);
  const int high = fcntl(ends[0], F_DUPFD_CLOEXEC, 100);
  CHECK(high >= 100 && fcntl(high, F_SETFL, O_NONBLOCK) == 0);
  CHECK((fcntl(ends[0], F_GETFL) & O_NONBLOCK) != 0);
  CHECK(close(high) == 0 && close(high) == -1 && errno == EBADF);
  const pid_t child = fork();
  if (child == 0) _exit(close(copy) == 0 && ioctl(ends[0], FIONREAD, &queued) == 0 ? 0 : 1);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(system("true") == 0);
  return 0;
}

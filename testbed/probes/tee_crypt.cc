// SPDX-License-Identifier: BSD-3-Clause
// tee_crypt BYTES...: does every byte of a shared buffer reach a TA, and come back? For each size,
// encrypts a buffer with xtest's "crypt" TA (AES-256 ECB), decrypts the result and compares.
//
// The buffers are registered user memory, scattered as the kernel's pages happen to be. Prints
// "crypt BYTES good" or what is wrong, then ends with 1.
#include <fcntl.h>
#include <linux/tee.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// cb3e5ba0-adf1-11e0-998b-0002a5d5c51b and its commands (optee_test ta/crypt).
constexpr std::array<std::uint8_t, 16> kCryptTa = {0xcb, 0x3e, 0x5b, 0xa0, 0xad, 0xf1, 0x11, 0xe0,
                                                   0x99, 0x8b, 0x00, 0x02, 0xa5, 0xd5, 0xc5, 0x1b};
constexpr std::uint32_t kEncrypt = 3;
constexpr std::uint32_t kDecrypt = 4;
constexpr std::size_t kBlock = 16;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Shared {
  std::uint8_t* bytes;
  std::int32_t id;
  int fd;
};

Shared Share(int tee, std::size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Die("mmap");
  std::memset(memory, 0, size);
  tee_ioctl_shm_register_data data{};
  data.addr = reinterpret_cast<std::uint64_t>(memory);
  data.length = size;
  const int fd = ioctl(tee, TEE_IOC_SHM_REGISTER, &data);
  if (fd < 0) Die("TEE_IOC_SHM_REGISTER");
  return {static_cast<std::uint8_t*>(memory), data.id, fd};
}

std::uint32_t Open(int tee) {
  tee_ioctl_open_session_arg arg{};
  std::memcpy(arg.uuid, kCryptTa.data(), kCryptTa.size());
  arg.clnt_login = TEE_IOCTL_LOGIN_PUBLIC;
  tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(&arg), sizeof arg};
  if (ioctl(tee, TEE_IOC_OPEN_SESSION, &buffer) != 0 || arg.ret != 0) Die("TEE_IOC_OPEN_SESSION");
  return arg.session;
}

bool Run(int tee, std::uint32_t session, std::uint32_t command, const Shared& from,
         const Shared& to, std::size_t size) {
  alignas(8) std::array<std::byte, sizeof(tee_ioctl_invoke_arg) + 2 * sizeof(tee_ioctl_param)>
      message{};
  auto& arg = *reinterpret_cast<tee_ioctl_invoke_arg*>(message.data());
  auto* params = reinterpret_cast<tee_ioctl_param*>(message.data() + sizeof arg);
  arg.session = session;
  arg.func = command;
  arg.num_params = 2;
  params[0] = {TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INPUT, 0, size,
               static_cast<std::uint64_t>(from.id)};
  params[1] = {TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_OUTPUT, 0, size, static_cast<std::uint64_t>(to.id)};
  tee_ioctl_buf_data buffer{reinterpret_cast<std::uint64_t>(message.data()), message.size()};
  if (ioctl(tee, TEE_IOC_INVOKE, &buffer) != 0) Die("TEE_IOC_INVOKE");
  if (arg.ret != 0) std::printf("command %u: 0x%x\n", command, arg.ret);
  return arg.ret == 0;
}

bool Check(int tee, std::uint32_t session, std::size_t size) {
  const Shared plain = Share(tee, size);
  const Shared secret = Share(tee, size);
  const Shared again = Share(tee, size);
  std::uint64_t state = size;
  for (std::size_t i = 0; i < size; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    plain.bytes[i] = static_cast<std::uint8_t>(state >> 56);
  }
  if (!Run(tee, session, kEncrypt, plain, secret, size) ||
      !Run(tee, session, kDecrypt, secret, again, size)) {
    return false;
  }
  std::size_t same = 0;  // blocks that the cipher left as they were: none, or nothing was done
  for (std::size_t i = 0; i < size; i += kBlock) {
    same += std::memcmp(plain.bytes + i, secret.bytes + i, kBlock) == 0 ? 1 : 0;
  }
  const bool good = same == 0 && std::memcmp(plain.bytes, again.bytes, size) == 0;
  std::printf("crypt %zu %s\n", size, good ? "good" : "differs");
  for (const Shared& shared : {plain, secret, again}) {
    munmap(shared.bytes, size);
    close(shared.fd);
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const int tee = open("/dev/tee0", O_RDWR | O_CLOEXEC);
  if (tee < 0) Die("/dev/tee0");
  const std::uint32_t session = Open(tee);
  for (int i = 1; i < argc; ++i) {
    if (!Check(tee, session, std::strtoul(argv[i], nullptr, 0) / kBlock * kBlock)) return 1;
  }
  return 0;
}

// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/program_identity.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace vtee::daemon {
namespace {

// 58ac9ca0-2086-4683-a1b8-ec4bc08e01b6
constexpr std::array<std::uint8_t, 16> kNamespace = {
    0x58, 0xac, 0x9c, 0xa0, 0x20, 0x86, 0x46, 0x83, 0xa1, 0xb8, 0xec, 0x4b, 0xc0, 0x8e, 0x01, 0xb6};

// RFC 4122, 4.3.
tee::Uuid NamedUuid(const std::string& name) {
  std::vector<std::uint8_t> text(kNamespace.begin(), kNamespace.end());
  text.insert(text.end(), name.begin(), name.end());
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha1(), nullptr);
  tee::Uuid uuid;
  std::copy_n(digest.begin(), uuid.octets.size(), uuid.octets.begin());
  uuid.octets[6] = static_cast<std::uint8_t>((uuid.octets[6] & 0x0F) | 0x50);
  uuid.octets[8] = static_cast<std::uint8_t>((uuid.octets[8] & 0x3F) | 0x80);
  return uuid;
}

tee::Outcome LoginRefused(std::uint32_t code) { return {code, tee::Origin::kComms}; }

}  // namespace

bool ProgramIdentity::InGroup(gid_t group) const {
  return group == gid || std::find(groups.begin(), groups.end(), group) != groups.end();
}

Result<ProgramIdentity> IdentityOf(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return ErrnoError(errno, "asking who a program is");
  }
  ProgramIdentity identity{peer.pid, peer.uid, peer.gid, {}};
  // The kernel says how much room the list needs, if it is not enough.
  gid_t none = 0;
  size = 0;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, &none, &size) == 0 || errno != ERANGE) {
    return identity;
  }
  identity.groups.resize(size / sizeof(gid_t));
  if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, identity.groups.data(), &size) != 0) {
    return ErrnoError(errno, "asking for a program's groups");
  }
  identity.groups.resize(size / sizeof(gid_t));
  return identity;
}

tee::Outcome ClientUuid(const ProgramIdentity& identity, std::uint32_t login, gid_t group,
                        tee::Uuid& client) {
  client = {};
  switch (static_cast<tee::Login>(login)) {
    case tee::Login::kPublic:
      return {};
    case tee::Login::kUser:
      client = NamedUuid(fmt::format("uid={:x}", identity.uid));
      return {};
    case tee::Login::kGroup:
      if (!identity.InGroup(group)) return LoginRefused(tee::code::kGeneric);
      client = NamedUuid(fmt::format("gid={:x}", group));
      return {};
    default:
      // TEE_IOCTL_LOGIN_REE_KERNEL_MIN to _MAX
      return LoginRefused(login >= 0x80000000 && login <= 0xBFFFFFFF ? tee::code::kGeneric
                                                                     : tee::code::kBadParameters);
  }
}

}  // namespace vtee::daemon

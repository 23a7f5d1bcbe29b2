// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_archive.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

#include "base/file_bytes.h"
#include "ta/storage/state_key.h"

namespace vtee::ta {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::size_t kPiece = 64 * kBlock;
constexpr std::uint64_t kMostBytes = (std::uint64_t{1} << 33) - 1;  // eleven octal digits
constexpr std::string_view kSums = "SHA256SUMS";
constexpr std::array kNames = {
    archive::kRoot,   archive::kDatabase, archive::kLog, archive::kTpmKey,
    archive::kAnchor, archive::kKey,      kSums};

// POSIX.1-2017, pax, "ustar Interchange Format".
struct Header {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char checksum[8];
  char type;
  char link[100];
  char magic[6];
  char version[2];
  char user[32];
  char group[32];
  char device_major[8];
  char device_minor[8];
  char prefix[155];
  char rest[12];
};
static_assert(sizeof(Header) == kBlock);
using HeaderBytes = std::array<std::byte, kBlock>;

template <std::size_t N>
void PutOctal(char (&field)[N], std::uint64_t value) {
  std::memcpy(field, fmt::format("{:0{}o}", value, N - 1).data(), N - 1);
}

template <std::size_t N>
std::optional<std::uint64_t> GetOctal(const char (&field)[N]) {
  std::uint64_t value = 0;
  const auto [stop, wrong] = std::from_chars(field, field + N - 1, value, 8);
  if (wrong != std::errc() || stop != field + N - 1) return std::nullopt;
  return value;
}

HeaderBytes MakeHeader(std::string_view name, std::uint64_t size, std::uint64_t mtime) {
  Header header{};
  std::copy(name.begin(), name.end(), header.name);
  PutOctal(header.mode, 0600);
  PutOctal(header.uid, 0);
  PutOctal(header.gid, 0);
  PutOctal(header.size, size);
  PutOctal(header.mtime, mtime);
  header.type = '0';
  std::memcpy(header.magic, "ustar", 6);
  std::memcpy(header.version, "00", 2);
  std::memset(header.checksum, ' ', sizeof header.checksum);
  HeaderBytes bytes;
  std::memcpy(bytes.data(), &header, kBlock);
  unsigned int sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<unsigned int>(byte);
  std::memcpy(header.checksum, fmt::format("{:06o}", sum).data(), 6);
  header.checksum[6] = '\0';
  std::memcpy(bytes.data(), &header, kBlock);
  return bytes;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
      throw std::bad_alloc();
    }
  }
  void Add(ConstBytes bytes) {
    if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) throw std::bad_alloc();
  }
  std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    if (EVP_DigestFinal_ex(context_.get(), digest.data(), &size) != 1) throw std::bad_alloc();
    std::string text;
    for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

std::size_t PaddingOf(std::uint64_t size) { return (kBlock - size % kBlock) % kBlock; }

std::string SumsBegin(const tee::Uuid& vm) {
  return "# vtee state backup, format 1\n# VM " + tee::ToString(vm) + "\n";
}

std::string SumLine(const std::string& sum, std::string_view name) {
  return sum + "  " + std::string(name) + "\n";
}

Status WriteBytes(DraftFile& out, const ArchiveMember& member, std::string& sums) {
  VTEE_TRY(out.Write(MakeHeader(member.name, member.bytes.size(), 0)));
  Sha256 sum;
  sum.Add(member.bytes);
  sums += SumLine(sum.Hex(), member.name);
  VTEE_TRY(out.Write(member.bytes));
  return out.Write(SecretBytes(PaddingOf(member.bytes.size())));
}

Status WriteMember(DraftFile& out, const ArchiveMember& member, std::string& sums) {
  if (member.path.empty()) return WriteBytes(out, member, sums);
  const UniqueFd fd(::open(member.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return ErrnoError(errno, "cannot open " + member.path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return ErrnoError(errno, "cannot look at " + member.path);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > kMostBytes) {
    return Error{ErrorCode::kUnsupported, member.path + " is too large for a backup"};
  }
  VTEE_TRY(out.Write(
      MakeHeader(member.name, size,
                 static_cast<std::uint64_t>(std::max<time_t>(status.st_mtime, 0)) & kMostBytes)));
  Sha256 sum;
  SecretBytes piece(kPiece);  // the key is among them
  for (std::uint64_t left = size; left != 0;) {
    const MutableBytes part = MutableBytes(piece).first(std::min<std::uint64_t>(left, kPiece));
    const auto got = ReadFully(fd.get(), part);
    if (!got) return ErrnoError(errno, "cannot read " + member.path);
    if (*got != part.size()) {
      return Error{ErrorCode::kSystem, member.path + " became shorter while it was read"};
    }
    sum.Add(part);
    VTEE_TRY(out.Write(part));
    left -= part.size();
  }
  sums += SumLine(sum.Hex(), member.name);
  return out.Write(SecretBytes(PaddingOf(size)));
}

class Reader {
 public:
  Reader(int fd, const std::string& name, const std::string& folder)
      : fd_(fd), name_(name), folder_(folder) {}

  Result<tee::Uuid> Run() {
    for (;;) {
      HeaderBytes header;
      VTEE_TRY(Take(header));
      std::size_t member = 0;
      std::uint64_t size = 0;
      VTEE_TRY(Understand(header, member, size));
      if (kNames[member] == kSums) break;
      VTEE_TRY(TakeMember(kNames[member], size));
    }
    VTEE_TRY(TakeEnd());
    VTEE_TRY(SyncDirectory(folder_));
    return vm_;
  }

 private:
  Error Damaged() const {
    return {
        ErrorCode::kInvalidArgument,
        name_ + " is no whole backup of a VM's state, or it is damaged: use another copy of it"};
  }

  Status Take(MutableBytes out) {
    const auto got = ReadFully(fd_, out);
    if (!got) return ErrnoError(errno, "cannot read " + name_);
    if (*got != out.size()) return Damaged();
    return {};
  }

  Status Understand(const HeaderBytes& bytes, std::size_t& member, std::uint64_t& size) {
    Header header;
    std::memcpy(&header, bytes.data(), kBlock);
    const auto said = GetOctal(header.size);
    const auto mtime = GetOctal(header.mtime);
    const std::string_view name(header.name, ::strnlen(header.name, sizeof header.name));
    const auto* found = std::find(kNames.begin() + next_, kNames.end(), name);
    // The root comes first, and each at most once.
    if (!said || !mtime || found == kNames.end() || (next_ == 0) != (name == archive::kRoot) ||
        MakeHeader(name, *said, *mtime) != bytes) {
      return Damaged();
    }
    member = static_cast<std::size_t>(found - kNames.begin());
    next_ = static_cast<std::ptrdiff_t>(member) + 1;
    size = *said;
    if (name == kSums && size != SumsBegin(vm_).size() + sums_.size()) return Damaged();
    return {};
  }

  Status TakeMember(std::string_view name, std::uint64_t size) {
    const std::string path = folder_ + "/" + std::string(name);
    const UniqueFd out(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!out) return ErrnoError(errno, "cannot create " + path);
    Sha256 sum;
    SecretBytes piece(kPiece);
    for (std::uint64_t left = size; left != 0;) {
      const MutableBytes part = MutableBytes(piece).first(std::min<std::uint64_t>(left, kPiece));
      VTEE_TRY(Take(part));
      if (name == archive::kRoot && left == size) VTEE_TRY(TakeVm(part));
      sum.Add(part);
      if (!WriteFully(out.get(), part)) return ErrnoError(errno, "cannot write " + path);
      left -= part.size();
    }
    if (name == archive::kRoot && size == 0) return Damaged();
    sums_ += SumLine(sum.Hex(), name);
    if (::fsync(out.get()) != 0) return ErrnoError(errno, "cannot write back " + path);
    return TakeZeros(PaddingOf(size));
  }

  Status TakeVm(ConstBytes root) {
    const auto owner = OwnerOfRoot(root);
    if (!owner) return Damaged();
    vm_ = *owner;
    return {};
  }

  Status TakeZeros(std::size_t size) {
    SecretBytes zeros(size);
    VTEE_TRY(Take(zeros));
    if (std::ranges::any_of(zeros, [](std::byte byte) { return byte != std::byte{0}; })) {
      return Damaged();
    }
    return {};
  }

  Status TakeEnd() {
    const std::string expected = SumsBegin(vm_) + sums_;
    std::string said(expected.size(), '\0');
    VTEE_TRY(Take(std::as_writable_bytes(std::span(said))));
    if (said != expected) return Damaged();
    VTEE_TRY(TakeZeros(PaddingOf(said.size()) + 2 * kBlock));
    std::byte more;
    const auto got = ReadFully(fd_, std::span(&more, 1));
    if (!got) return ErrnoError(errno, "cannot read " + name_);
    if (*got != 0) return Damaged();
    return {};
  }

  const int fd_;
  const std::string& name_;
  const std::string& folder_;
  std::ptrdiff_t next_ = 0;  // in kNames
  tee::Uuid vm_;
  std::string sums_;
};

}  // namespace

Status WriteArchive(DraftFile& out, const std::vector<ArchiveMember>& members,
                    const tee::Uuid& vm) {
  std::string sums = SumsBegin(vm);
  for (const ArchiveMember& member : members) VTEE_TRY(WriteMember(out, member, sums));
  const auto bytes = std::as_bytes(std::span(sums));
  VTEE_TRY(out.Write(MakeHeader(kSums, bytes.size(), 0)));
  VTEE_TRY(out.Write(bytes));
  return out.Write(SecretBytes(PaddingOf(bytes.size()) + 2 * kBlock));
}

Result<tee::Uuid> ExtractArchive(int fd, const std::string& name, const std::string& folder) {
  return Reader(fd, name, folder).Run();
}

}  // namespace vtee::ta

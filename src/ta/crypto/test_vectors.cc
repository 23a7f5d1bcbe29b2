// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/test_vectors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <vector>

namespace vtee::ta {
namespace {

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::filesystem::path Folder() { return VTEE_CRYPTO_VECTORS; }

}  // namespace

bool Vector::Has(std::string_view name) const {
  const auto found = fields_.find(name);
  return found != fields_.end() && found->second.block == block_;
}

const std::string& Vector::Text(std::string_view name) const {
  static const std::string kNone;
  const auto found = fields_.find(name);
  if (found != fields_.end()) return found->second.text;
  ADD_FAILURE() << "no " << name;
  return kNone;
}

Bytes Vector::Number(std::string_view name) const {
  const std::string& text = Text(name);
  return Hex(text.size() % 2 == 0 ? text : "0" + text);
}

std::size_t Vector::Count(std::string_view name) const {
  const std::string& text = Text(name);
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  EXPECT_TRUE(error == std::errc() && end == text.data() + text.size()) << name << " = " << text;
  return value;
}

class VectorReader {
 public:
  VectorReader(const std::string& file, const CheckVector& check)
      : name_(file), check_(check), in_(Folder() / file) {
    EXPECT_TRUE(in_.is_open()) << Folder() / file << ": is python3-cryptography-vectors there?";
  }

  int ReadBlocks() {
    std::string line;
    while (NextLine(line)) {
      const std::string_view text = Trimmed(line);
      if (text.empty()) {
        EndBlock();
      } else if (text.front() == '[') {
        TakeHeading(text.substr(1, text.rfind(']') - 1));
      } else if (text.front() != '#') {
        Take(text, true);
      }
    }
    EndBlock();
    return count_;
  }

  int ReadTitled(std::string_view last) {
    std::string line;
    std::string title;
    while (NextLine(line)) {
      std::string_view text = Trimmed(line);
      if (!text.starts_with('#')) {
        if (!title.empty()) vector_.fields_.at(title).text += text;
        continue;
      }
      if (title == last) EndBlock();
      while (text.starts_with('#')) text = Trimmed(text.substr(1));
      title = text.ends_with(':') ? Trimmed(text.substr(0, text.size() - 1)) : "";
      if (!title.empty()) Set(title, "", true);
    }
    if (title == last) EndBlock();
    return count_;
  }

 private:
  bool NextLine(std::string& line) {
    if (testing::Test::HasFailure() || !std::getline(in_, line)) return false;
    ++line_;
    return true;
  }

  void Take(std::string_view text, bool own) {
    const auto sign = text.find('=');
    const std::string_view name = Trimmed(text.substr(0, sign));
    // Some files lack an empty line here and there.
    if (own && vector_.Has(name)) EndBlock();
    const auto value = sign == std::string_view::npos ? std::string_view() : text.substr(sign + 1);
    Set(name, Trimmed(value), own);
  }

  void Set(std::string_view name, std::string_view value, bool own) {
    auto at = vector_.fields_.find(name);
    if (at == vector_.fields_.end()) at = vector_.fields_.try_emplace(std::string(name)).first;
    at->second.text = value;
    at->second.block = own ? vector_.block_ : 0;
    if (own) vector_.empty_ = false;
  }

  // "Alen = 0, Plen = 0"
  void TakeHeading(std::string_view text) {
    vector_.heading_ = text;
    while (!text.empty()) {
      const auto comma = std::min(text.find(','), text.size());
      const std::string_view part = text.substr(0, comma);
      if (part.find('=') != std::string_view::npos) Take(part, false);
      text.remove_prefix(std::min(comma + 1, text.size()));
    }
  }

  void EndBlock() {
    if (vector_.empty_) return;
    const testing::ScopedTrace trace(__FILE__, __LINE__, name_ + ":" + std::to_string(line_));
    if (check_(vector_)) ++count_;
    ++vector_.block_;
    vector_.empty_ = true;
  }

  std::string name_;
  const CheckVector& check_;
  std::ifstream in_;
  Vector vector_;
  int line_ = 0;
  int count_ = 0;
};

int ForEachVector(const std::string& file, const CheckVector& check) {
  return VectorReader(file, check).ReadBlocks();
}

int ForEachVectorIn(const std::string& folder, std::string_view ending, const CheckVector& check) {
  std::error_code error;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(Folder() / folder, error)) {
    const std::string name = entry.path().filename();
    if (name.ends_with(ending)) files.push_back(folder + "/" + name);
  }
  EXPECT_FALSE(files.empty()) << Folder() / folder;
  int count = 0;
  for (const std::string& file : files) {
    if (testing::Test::HasFailure()) break;
    const int here = ForEachVector(file, check);
    EXPECT_GT(here, 0) << file;
    count += here;
  }
  return count;
}

int ForEachTitledVector(const std::string& file, std::string_view last, const CheckVector& check) {
  return VectorReader(file, check).ReadTitled(last);
}

}  // namespace vtee::ta

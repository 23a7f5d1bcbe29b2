// SPDX-License-Identifier: BSD-3-Clause
#include "device_tree.h"

#include "text.h"

namespace guest {
namespace {

constexpr std::uint32_t kBeginNode = 1;
constexpr std::uint32_t kEndNode = 2;
constexpr std::uint32_t kProperty = 3;
constexpr std::uint32_t kNothing = 4;
constexpr unsigned kMaxDepth = 16;

std::uint32_t Word(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}
std::uint64_t DoubleWord(const std::uint8_t* p) {
  return std::uint64_t{Word(p)} << 32 | Word(p + 4);
}

struct Property {
  const char* node;    // the name of its node
  const char* parent;  // and of that one's parent
  const char* name;
  const std::uint8_t* value;
  std::uint32_t size;
};

void Take(const Property& property, Machine& machine) {
  const char* text = reinterpret_cast<const char*>(property.value);
  if (Equal(property.node, "chosen") && Equal(property.name, "bootargs")) {
    const std::size_t room = sizeof machine.arguments - 1;
    std::memcpy(machine.arguments, text, property.size < room ? property.size : room);
  } else if (StartsWith(property.node, "memory@") && Equal(property.name, "reg")) {
    machine.ram = DoubleWord(property.value);
    machine.ram_size = DoubleWord(property.value + 8);
  } else if (StartsWith(property.node, "cpu@") && Equal(property.name, "reg")) {
    ++machine.cpus;
  } else if (Equal(property.node, "optee") && Equal(property.parent, "firmware")) {
    machine.tee = true;
    if (Equal(property.name, "method")) machine.hvc = Equal(text, "hvc");
    if (Equal(property.name, "interrupts")) {
      machine.has_interrupt = true;
      machine.interrupt = Word(property.value + 4);
    }
  }
}

}  // namespace

void ReadMachine(const void* tree, Machine& machine) {
  const auto* base = static_cast<const std::uint8_t*>(tree);
  const std::uint8_t* p = base + Word(base + 8);
  const char* strings = reinterpret_cast<const char*>(base + Word(base + 12));
  const char* path[kMaxDepth] = {""};
  unsigned depth = 0;
  for (;;) {
    const std::uint32_t token = Word(p);
    p += 4;
    if (token == kBeginNode) {
      const char* name = reinterpret_cast<const char*>(p);
      p += (std::strlen(name) + 4) & ~std::size_t{3};
      path[++depth] = name;
    } else if (token == kEndNode) {
      if (--depth == 0) return;
    } else if (token == kProperty) {
      const Property property{path[depth], path[depth - 1], strings + Word(p + 4), p + 8, Word(p)};
      Take(property, machine);
      p += 8 + ((property.size + 3) & ~3u);
    } else if (token != kNothing) {
      return;
    }
  }
}

}  // namespace guest

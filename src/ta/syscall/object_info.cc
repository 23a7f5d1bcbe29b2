// SPDX-License-Identifier: BSD-3-Clause
#include "ta/syscall/object_info.h"

#include "ta/storage/stored_objects.h"

namespace vtee::ta {

ObjectInfo InfoOf(const ObjectHandle& object) {
  ObjectInfo info{};
  info.type = object.key.type();
  info.bits = object.key.bits();
  info.max_bits = object.key.max_bits();
  if (object.persistent()) {
    info.usage = object.stored->usage();
    info.data_size = static_cast<std::uint32_t>(object.stored->size());
    info.data_position = static_cast<std::uint32_t>(object.position);
    info.handle_flags = object.access | kHandlePersistent | kHandleInitialized;
  } else {
    info.usage = object.usage;
    info.handle_flags = object.key.initialized() ? kHandleInitialized : 0;
  }
  return info;
}

}  // namespace vtee::ta

# SPDX-License-Identifier: BSD-3-Clause
# vtee_fdt: libfdt, for programs that edit device trees.
#
# Debian's libfdt-dev cannot be installed for two architectures at once, so a cross build takes the
# (architecture-independent) headers of the build machine's package and links the foreign runtime
# library, which has no plain .so name, by its soname.
find_path(VTEE_FDT_INCLUDE_DIR libfdt.h REQUIRED)
find_library(VTEE_FDT_LIBRARY NAMES fdt libfdt.so.1 REQUIRED)
mark_as_advanced(VTEE_FDT_INCLUDE_DIR VTEE_FDT_LIBRARY)

add_library(vtee_fdt INTERFACE)
target_include_directories(vtee_fdt SYSTEM INTERFACE ${VTEE_FDT_INCLUDE_DIR})
target_link_libraries(vtee_fdt INTERFACE ${VTEE_FDT_LIBRARY})

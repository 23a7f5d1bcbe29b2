# SPDX-License-Identifier: BSD-3-Clause
# Cross build for arm64 on a Debian machine with the multiarch :arm64 packages:
#   cmake -G Ninja -S . -B build/arm64 -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake
# With qemu-user-static installed, ctest runs the unit tests of the cross build too.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(VTEE_CROSS_TRIPLET aarch64-linux-gnu)

set(CMAKE_C_COMPILER ${VTEE_CROSS_TRIPLET}-gcc)
set(CMAKE_CXX_COMPILER ${VTEE_CROSS_TRIPLET}-g++)
set(CMAKE_LIBRARY_ARCHITECTURE ${VTEE_CROSS_TRIPLET})

# Multiarch: headers are shared with the build machine, libraries and package files are not.
# CMAKE_FIND_ROOT_PATH stays empty so that /usr/include is found; the architecture's folders come
# first and the build machine's own are never looked into.
list(PREPEND CMAKE_PREFIX_PATH /usr/lib/${VTEE_CROSS_TRIPLET}/cmake)
set(CMAKE_IGNORE_PATH /usr/lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu/cmake /lib/x86_64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)

set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/${VTEE_CROSS_TRIPLET}/pkgconfig:/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_PATH} "")

find_program(VTEE_QEMU_USER NAMES qemu-aarch64-static qemu-aarch64)
if(VTEE_QEMU_USER)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${VTEE_QEMU_USER})
endif()

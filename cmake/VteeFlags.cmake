# SPDX-License-Identifier: BSD-3-Clause
# Warnings and hardening that every target of the project is built with.
add_library(vtee_flags INTERFACE)
target_include_directories(vtee_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_options(vtee_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wundef
  -ftrivial-auto-var-init=zero -fstack-protector-strong -fstack-clash-protection)
target_compile_definitions(vtee_flags INTERFACE _GNU_SOURCE _GLIBCXX_ASSERTIONS)
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  # A target that turns optimisation off says so with the property VTEE_UNOPTIMISED.
  target_compile_options(vtee_flags INTERFACE -U_FORTIFY_SOURCE
    $<$<NOT:$<BOOL:$<TARGET_PROPERTY:VTEE_UNOPTIMISED>>>:-D_FORTIFY_SOURCE=2>)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64")
  target_compile_options(vtee_flags INTERFACE -mbranch-protection=standard)
else()
  target_compile_options(vtee_flags INTERFACE -fcf-protection)
endif()
target_link_options(vtee_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
if(VTEE_SANITIZE)
  target_compile_options(vtee_flags INTERFACE -fsanitize=${VTEE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(vtee_flags INTERFACE -fsanitize=${VTEE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 takes the sanitizers' own temporaries in standard headers for uninitialised reads.
    target_compile_options(vtee_flags INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
endif()
find_package(Threads REQUIRED)
target_link_libraries(vtee_flags INTERFACE Threads::Threads)

# SPDX-License-Identifier: BSD-3-Clause
# vtee_library(name [FOR_TESTS] SOURCES ... [DEPS ...]): a static library of the project; FOR_TESTS:
#   what only tests use, which clang-tidy leaves out.
# vtee_install(target DESTINATION ...): installs a program or library; the target `installed`
#   builds all that is installed and nothing else.
# vtee_test(name SOURCES ... [DEPS ...]): a GoogleTest program, run by ctest.
if(VTEE_TESTS)
  find_package(GTest REQUIRED)
endif()

# Parsing the standard headers and GoogleTest costs most of the time where nothing is optimised: in
# sanitizer builds, and in tests, which are never optimised themselves (what they test is). The
# sources of other builds do without precompiled headers, so that a missing include shows.
option(VTEE_PCH "Precompile the standard headers for all sources, not only for tests" OFF)
# Compiling the sources of a library together parses their headers once: a third of the time. Where
# it is off, a source that lacks an include or names what another names shows.
option(VTEE_UNITY "Compile the sources of each library together" OFF)
set(VTEE_PCH_HEADERS <algorithm> <array> <atomic> <chrono> <condition_variable> <cstring>
  <filesystem> <fstream> <functional> <map> <memory> <mutex> <optional> <span> <sstream> <string>
  <string_view> <thread> <unordered_map> <variant> <vector>)

# Programs would be compiled with -fPIE, and compilers take that for a different dialect.
function(vtee_compile_as_test name)
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF VTEE_UNOPTIMISED ON)
  target_compile_options(${name} PRIVATE -fPIC -O0 -g1)
endfunction()

function(vtee_pch_library name)
  file(CONFIGURE OUTPUT ${name}.cc CONTENT "")
  add_library(${name} STATIC ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  target_link_libraries(${name} PRIVATE vtee_flags)
  target_precompile_headers(${name} PRIVATE ${VTEE_PCH_HEADERS} ${ARGN})
endfunction()
if(VTEE_PCH)
  vtee_pch_library(vtee_pch)
endif()
if(VTEE_TESTS)
  vtee_pch_library(vtee_test_pch <gtest/gtest.h> <gmock/gmock.h>)
  vtee_compile_as_test(vtee_test_pch)
  target_link_libraries(vtee_test_pch PRIVATE GTest::gtest GTest::gmock)
endif()

function(vtee_library name)
  cmake_parse_arguments(ARG "FOR_TESTS" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC vtee_flags ${ARG_DEPS})
  if(VTEE_UNITY AND NOT ARG_FOR_TESTS)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
    # GCC takes the sources for headers then: what is anonymous in one would be something else in the
    # next.
    target_compile_options(${name} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  endif()
  if(VTEE_PCH)
    target_precompile_headers(${name} REUSE_FROM vtee_pch)
  endif()
endfunction()

add_custom_target(installed)
function(vtee_install target)
  install(TARGETS ${target} ${ARGN})
  add_dependencies(installed ${target})
endfunction()

function(vtee_test name)
  if(NOT VTEE_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE vtee_flags ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  vtee_compile_as_test(${name})
  target_precompile_headers(${name} REUSE_FROM vtee_test_pch)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT}
    COST ${ARG_TIMEOUT})  # the longest begin first
endfunction()

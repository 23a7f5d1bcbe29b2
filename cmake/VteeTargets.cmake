# SPDX-License-Identifier: BSD-3-Clause
# vtee_library(name SOURCES ... [DEPS ...]): a static library of the project.
# vtee_install(target DESTINATION ...): installs a program or library; the target `installed`
#   builds all that is installed and nothing else.
# vtee_test(name SOURCES ... [DEPS ...]): a GoogleTest program, run by ctest.
if(VTEE_TESTS)
  find_package(GTest REQUIRED)
endif()

# Sanitizer builds are compiled without optimisation, where parsing the standard headers and
# GoogleTest costs most of the time. Other builds do without, so that a missing include shows.
option(VTEE_PCH "Precompile the standard headers" OFF)
if(VTEE_PCH)
  file(CONFIGURE OUTPUT pch.cc CONTENT "")
  add_library(vtee_pch STATIC ${CMAKE_CURRENT_BINARY_DIR}/pch.cc)
  target_link_libraries(vtee_pch PRIVATE vtee_flags)
  target_precompile_headers(vtee_pch PRIVATE
    <algorithm> <array> <atomic> <chrono> <condition_variable> <cstring> <filesystem> <fstream>
    <functional> <map> <memory> <mutex> <optional> <span> <sstream> <string> <string_view>
    <thread> <unordered_map> <variant> <vector>)
  if(VTEE_TESTS)
    target_link_libraries(vtee_pch PRIVATE GTest::gtest GTest::gmock)
    target_precompile_headers(vtee_pch PRIVATE <gtest/gtest.h> <gmock/gmock.h>)
  endif()
endif()

function(vtee_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC vtee_flags ${ARG_DEPS})
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
  if(VTEE_PCH)
    # Programs would be compiled with -fPIE, and clang takes that for a different dialect.
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${name} PRIVATE -fPIC)
    target_precompile_headers(${name} REUSE_FROM vtee_pch)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()

# SPDX-License-Identifier: BSD-3-Clause
# cmake -DNM=.. -DREADELF=.. -DLIBRARY=.. -DEXPORTS=<regex> -P: a library that is loaded into other
# people's programs exports nothing but its interface and needs nothing but libc.
execute_process(COMMAND ${NM} -D --defined-only ${LIBRARY} OUTPUT_VARIABLE symbols
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX REPLACE "\n$" "" symbols "${symbols}")
string(REPLACE "\n" ";" symbols "${symbols}")
foreach(line IN LISTS symbols)
  string(REGEX REPLACE "^.* ([^ ]+)$" "\\1" symbol "${line}")
  if(NOT symbol MATCHES "^(${EXPORTS})(@.*)?$")
    message(SEND_ERROR "${LIBRARY} exports ${symbol}")
  endif()
endforeach()
execute_process(COMMAND ${READELF} -d ${LIBRARY} OUTPUT_VARIABLE dynamic
                COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "\\(NEEDED\\)[^\n]*" needed "${dynamic}")
foreach(line IN LISTS needed)
  if(NOT line MATCHES "\\[(libc\\.so\\.6|ld-linux-[^]]*)\\]")
    message(SEND_ERROR "${LIBRARY} needs ${line}")
  endif()
endforeach()

// SPDX-License-Identifier: BSD-3-Clause
// Tells a service manager how vteed is doing (sd_notify(3) protocol: a datagram to $NOTIFY_SOCKET).
// Without that variable nothing happens. Errors are ignored: the service works without.
#pragma once

#include <string_view>

namespace vtee::daemon {

void NotifyServiceManager(std::string_view state);  // e.g. "READY=1\nSTATUS=waiting for the VMM"

}  // namespace vtee::daemon

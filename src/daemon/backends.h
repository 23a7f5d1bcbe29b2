// SPDX-License-Identifier: BSD-3-Clause
// Makes the backend a configuration asks for. The one place that knows all backends.
#pragma once

#include <memory>

#include "base/result.h"
#include "daemon/config.h"
#include "tee/backend.h"

namespace vtee::daemon {

Result<std::unique_ptr<tee::Backend>> MakeBackend(const Config& config);

}  // namespace vtee::daemon

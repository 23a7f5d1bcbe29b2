// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/pseudo_memory.h"

#include <algorithm>
#include <string_view>

#include "base/log.h"
#include "guest/address.h"

namespace vtee::optee {
namespace {

// optee_os: pseudo_ta_register() in core/pta and core/tee, UUIDs in lib/libutee/include/pta_*.h.
constexpr std::string_view kKnown[] = {
    "ab7a617c-b8e7-4d8f-8301-d09b61036b64",  // random numbers
    "3f3eb880-3639-11ec-9b9d-0f3fc9468f50",  // APDU
    "39800861-182a-4720-9b67-2bcd622bc0b5",  // attestation
    "a77955f9-eea1-44fd-add5-4a9d962afcf5",  // Veraison attestation
    "7011a688-ddde-4053-a5a9-7b3c4ddf13b8",  // device enumeration
    "2f6e0d48-c574-426d-824e-40198cde5cac",  // gprof
    "f389f8c8-845f-496c-8bbe-d64bd24c92fd",  // real-time clock
    "a8cfe406-d4f5-4a2e-9f8d-a25dc754c099",  // SCMI
    "be0e5821-e718-4f77-ab3e-8e6c73a9c735",  // SCP03
    "6e256cba-fc4d-4941-ad09-2ca1860342dd",  // installing TAs
    "d96a5b40-e2c7-b1af-8794-1002a5d5c61b",  // statistics
    "3a2f8978-5dc0-11e8-9c2d-fa7ae01bbebc",  // system
    "d96a5b40-c3e5-21e3-8794-1002a5d5c61b",  // self-tests
    "3b996a7d-2c2b-4a49-a896-e1fb5766d2f4",  // sockets
    "721f4da9-da05-40d4-a1a3-8377c1e08b0a",  // Widevine
    "6272636d-2019-0716-4243-4d5f53434849",  // Broadcom: bnxt
    "6272636d-2019-0701-4243-4d5f454c4f47",  // error log
    "6272636d-2018-1101-4243-4d5f4750494f",  // GPIO
    "6272636d-2019-0201-4243-4d5f524e4730",  // random numbers
    "6272636d-2018-1101-4243-4d5f534f5450",  // one-time memory
    "6272636d-2019-0801-4243-4d5f57445430",  // watchdog
    "ef477737-0db1-4a9d-8437-f2f535c0bd92",  // i.MX: DEK blob
    "bfdbe409-3302-4abf-99bc-5f623226a739",  // digprog
    "83268b7c-85e3-11e8-adc0-fa7ae01bbebc",  // manufacturing protection
    "9abdf255-d8fa-40de-8f60-4d0b27927b7d",  // OCOTP
    "acc50f40-0613-4abd-8dfe-a964cb74eb69",  // K3: key writing
    "daedbae4-cf3e-4b76-a5c5-dbf8b6fd5af4",  // Qualcomm: peripheral authentication
    "5cfa57f6-1a4c-407f-94a7-a56c8c47019d",  // Rockchip: secure boot
    "94cf71ad-80e6-40b5-a7c6-3dc501eb2803",  // STM32: BSEC
    "dd05bc8b-9f3b-49f0-b649-01aa10c1c210",  // debug access
    "54af4a68-19be-40d7-bbe6-8950350a8744",  // remote processor
    "a6b493c0-e100-4a13-9b00-bce42d53ced8",  // Versal: loader
};

}  // namespace

PseudoMemory::PseudoMemory(const mediator::Policy& policy) : policy_(policy) {
  for (const std::string_view text : kKnown) {
    tee::Uuid uuid;
    if (tee::ParseUuid(text, uuid)) known_.insert(uuid);
  }
}

bool PseudoMemory::IsPseudo(const tee::Uuid& application) const {
  return known_.contains(application) || policy_.pseudo_applications.contains(application);
}

std::optional<PseudoMemory::Use> PseudoMemory::Take(const tee::Uuid& application,
                                                    const tee::Params& params) {
  if (!IsPseudo(application)) return Use(nullptr, 0);
  const std::uint64_t limit = policy_.max_pseudo_bytes;
  std::uint64_t wanted = 0;
  for (const tee::Param& param : params) {
    if (param.kind != tee::Param::Kind::kMemory || param.memory == nullptr) continue;
    // All of the buffer, in pages; more than the limit is as good as all there is. The page more
    // of one that begins inside of a page does not matter.
    const std::uint64_t bytes = std::min(param.memory->size(), limit + 1);
    wanted += (bytes + guest::kPageSize - 1) / guest::kPageSize * guest::kPageSize;
  }
  const std::lock_guard lock(mutex_);
  if (wanted > limit - bytes_) {
    LogGuest(LogLevel::kWarning, "pseudo.quota",
             {{"ta", tee::ToString(application)},
              {"bytes", wanted},
              {"in_use", bytes_},
              {"limit", limit},
              {"refused", ++refused_},
              {"remedy",
               "OP-TEE would map these buffers whole and can panic; pass smaller ones, or raise "
               "policy.max_pseudo_ta_bytes if this OP-TEE has room"}});
    return std::nullopt;
  }
  bytes_ += wanted;
  return Use(this, wanted);
}

void PseudoMemory::GiveBack(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  bytes_ -= bytes;
}

}  // namespace vtee::optee

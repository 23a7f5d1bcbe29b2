// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/development_keys.h"

namespace vtee::ta {
namespace {

// until OP-TEE 4.6; RSA-2048.
constexpr std::string_view k2048 =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAploYrcCzzuMMkCt9QJus\n"
    "u1pJiEIKseCSwIaR5p7voOHxL5D2Zt3qFVrAKLSd31IMbqXGGUOsaajyX/5gAKXS\n"
    "OswSAfNbugxRHCz0sHe51nI1HA9zzS8W+bqJhKCbv4tbf+iLi5/IceocbB8AoO7K\n"
    "Pr8YjlebSGbri9RAUa6GoYb40Av6ti4lLgX/dgFG1z3rH3z83x6Ci16wyqPqFr4t\n"
    "blRQnLhB7xfHf2BUqvlwoPiYLoL5jF/7nIiOd7Aycpka4ARevx2q9/AFPLSV3U26\n"
    "OnGh+HKOHZjjE7rKsCe/h1lUJ/jo7MaFN9I6leSlCZrQH6OGsJLYAh4zddsmvyf8\n"
    "NQIDAQAB\n"
    "-----END PUBLIC KEY-----\n";

// since then; RSA-4096.
constexpr std::string_view k4096 =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEA6e6CY58Lzd7Vxb/B9k47\n"
    "X8fuvkYE8O1peo1UnmEaeuAI91y6wFSLkog7uPZcizDxyqA3OBtbFqi7nR0fTs+n\n"
    "r37W+yFSGZljZVXxudMojccsgHP9pMUjlmuu/1ISLyvA5Q8R6ALrTmNpUQfNqcdp\n"
    "IBgfwSDUrBUU0PIq6iiUdxoWtuC71OgKh4Ng8NXdIQHiJVwx2i/JB4lidWDPJY/n\n"
    "TLKnmDzbKtyKWeQfz4FJgDjDAThZXASeoaEpWmjRDvfbG6I7ziU20jiAA5R8T6ht\n"
    "9DdwoJ+CIKovscukdedPZ9b8/IesBiZURZv7pwqAMWLVb93PQj1a28VzyZOW4Mr/\n"
    "oa+9qY0/d19ApB5YJV7hf6fWY5mwPdAGuO4FpXinemD+HLXGXAu6+PlzftJW97Ut\n"
    "vE5DMzkrMm9DYjhe1b1AEHlDYJM7WTpRi9z4CuBymec5CsKFfZAJCQlKg5qjPKA7\n"
    "3CH1PBtVzAK+N8ktbsIAIoiX0aQ5yItY9FyxqduSt2dt0tPjrjflvHWI1+27zgYy\n"
    "0sWOlsSWyz9NMoH9x1IGV0/ufOvns95y3XR3ptHIrB1iZdfSdBCVTHAscVksD8FW\n"
    "lC2S/EFedqYcB3ZjR1Fpb9ReGK2ChSVU/Dxg+Xa3AzUXo4Fz8rNaJ3/BvB8NphDh\n"
    "i391IEoPu/bRTVm6MT/YHaECAwEAAQ==\n"
    "-----END PUBLIC KEY-----\n";

constexpr std::string_view kAll[] = {k2048, k4096};

}  // namespace

std::span<const std::string_view> DevelopmentKeys() { return kAll; }

}  // namespace vtee::ta

#pragma once
/// Whether a test is compiled under sanitizers: LION_TEST_ADDRESS_SANITIZER, LION_TEST_THREAD_SANITIZER. They look for
/// other things than numbers, and take ten times as long.

#if defined(__has_feature)  // clang
#if __has_feature(address_sanitizer)
#define LION_TEST_ADDRESS_SANITIZER
#endif
#if __has_feature(thread_sanitizer)
#define LION_TEST_THREAD_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)  // g++
#define LION_TEST_ADDRESS_SANITIZER
#endif
#if defined(__SANITIZE_THREAD__)
#define LION_TEST_THREAD_SANITIZER
#endif

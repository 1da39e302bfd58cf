#pragma once
/// Products of small blocks of bfloat16 and int8 by what the CPU has for them: the tile registers of AMX, or the dot
/// products of AVX512_BF16. The one place that knows their instructions.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "lion/core/config.hpp"
#include "lion/cpu/packed_matrix.hpp"

#if defined(__AVX512BF16__) && defined(__AVX512F__)
#include <immintrin.h>
#define LION_DOT_BLOCKS 1
#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__linux__) && \
    !defined(LION_NO_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#define LION_TILE_REGISTERS 1
#endif
#endif

namespace lion::cpu {

/// Whether the compiler is told of a CPU that multiplies this type: then rows are rounded to it.
constexpr bool converts_rows([[maybe_unused]] WeightType type) {
#if defined(LION_TILE_REGISTERS)
  return type != WeightType::float32;
#elif defined(LION_DOT_BLOCKS)
  return type == WeightType::bfloat16;
#else
  return false;
#endif
}

/// Whether this process may use tile registers: asks the kernel, once. It then saves them with every thread of the
/// process that uses them and in larger signal frames; LION_NO_AMX, defined everywhere, leaves them alone.
inline bool tile_registers() {
#ifdef LION_TILE_REGISTERS
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool granted = ::syscall(SYS_arch_prctl, request, tile_data) == 0;
  return granted;
#else
  return false;
#endif
}

#ifdef LION_DOT_BLOCKS

/// Rows of a tile of the left factor: [16 rows][64 bytes].
inline constexpr Index kTileRows = 16;

/// Rows of a left factor in tiles: 16 from each of two places, the second of which may be nullptr.
template <class Entry>
struct TileRows {
  const Entry *first, *second;
  Index step = kTileRows * kBlockDepth<Entry>;  ///< entries from one step of the depth to the next
  Index row = kBlockDepth<Entry>;               ///< and from one row to the next
};

namespace detail {
/// The lanes of 16 that the first n entries from `from` on fill.
inline __mmask16 lanes(Index n, Index from) {
  return static_cast<__mmask16>((1u << (std::clamp)(n - from, Index(0), Index(16))) - 1u);
}

/// The bfloat16 of 32 floats. Written out, as is the next: clang 16 dies of the type of its own intrinsic.
inline __m512i to_bfloat16(__m512 low, __m512 high) {
  __m512i result;
  __asm__("{vcvtne2ps2bf16 %1, %2, %0|vcvtne2ps2bf16 %0, %2, %1}" : "=v"(result) : "v"(low), "v"(high));
  return result;
}

/// sums + a·b, pair by pair of bfloat16.
inline __m512 add_pairs(__m512 sums, __m512i a, __m512i b) {
  __asm__("{vdpbf16ps %2, %1, %0|vdpbf16ps %0, %1, %2}" : "+v"(sums) : "v"(a), "v"(b));
  return sums;
}

}  // namespace detail

/// bfloat16, rounded to nearest even.
struct Bfloat16Dots {
  using Entry = std::uint16_t;
  using Sum = float;

  /// What a row [n] is divided by before it is converted.
  static float scale(const float*, Index) { return 1; }

  /// n ≤ 32 entries of a row, then zeros.
  static void convert(const float* x, Index n, float, Entry* to) {
    const __m512 low = _mm512_maskz_loadu_ps(detail::lanes(n, 0), x);
    const __m512 high = n > 16 ? _mm512_maskz_loadu_ps(detail::lanes(n, 16), x + 16) : _mm512_setzero_ps();
    _mm512_store_si512(to, detail::to_bfloat16(low, high));
  }

  /// The same of entries that are bfloat16.
  static void convert(const bfloat16* x, Index n, Entry* to) {
    const auto filled = static_cast<__mmask32>(n >= 32 ? ~0u : (1u << n) - 1u);
    _mm512_store_si512(to, _mm512_maskz_loadu_epi16(filled, x));
  }

  /// 32 entries of a row.
  static void convert(__m512 low, __m512 high, Entry* to) { _mm512_store_si512(to, detail::to_bfloat16(low, high)); }

  /// 16 entries of two rows of the right factor, turn about: a row of a half block.
  static void convert_pair(__m512 first, __m512 second, Entry* to) {
    _mm512_store_si512(to, turn_about(detail::to_bfloat16(first, second)));
  }
  static void convert_pair(const bfloat16* first, const bfloat16* second, Entry* to) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(second));
    _mm512_store_si512(to, turn_about(_mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(low), high, 1)));
  }

#ifdef LION_TILE_REGISTERS
  static void first_rows() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
  }
  static void second_rows() {
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
#endif

 private:
  /// Entries 0, 16, 1, 17, … of 32.
  static __m512i turn_about(__m512i both) {
    alignas(64) static constexpr Entry places[] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                   8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return _mm512_permutexvar_epi16(_mm512_load_si512(places), both);
  }
};

/// sums [16,32], rows `stride` apart, = or += a · b over `steps` tiles and blocks by dot products.
inline void multiply_block(const std::uint16_t* a, const std::uint16_t* b, Index steps, float* sums,
                           Index stride = kBlockStrip, bool add = false) {
  constexpr Index rows = 8, half = PackedMatrix::block_size<std::uint16_t>() / 2;
  for (Index row = 0; row < kTileRows; row += rows) {
    __m512 left[rows] = {}, right[rows] = {};
    if (add) {
      LION_UNROLL_BY(8)
      for (Index i = 0; i < rows; ++i) {
        left[i] = _mm512_loadu_ps(sums + (row + i) * stride);
        right[i] = _mm512_loadu_ps(sums + (row + i) * stride + 16);
      }
    }
    for (Index s = 0; s < steps; ++s) {
      for (Index pair = 0; pair < 16; ++pair) {
        const std::uint16_t* from = b + s * 2 * half + pair * 32;
        const __m512i first = _mm512_load_si512(from), second = _mm512_load_si512(from + half);
        LION_UNROLL_BY(8)
        for (Index i = 0; i < rows; ++i) {
          std::int32_t both;
          std::memcpy(&both, a + s * half + (row + i) * 32 + pair * 2, sizeof(both));
          const __m512i factor = _mm512_set1_epi32(both);
          left[i] = detail::add_pairs(left[i], factor, first);
          right[i] = detail::add_pairs(right[i], factor, second);
        }
      }
    }
    LION_UNROLL_BY(8)
    for (Index i = 0; i < rows; ++i) {
      _mm512_storeu_ps(sums + (row + i) * stride, left[i]);
      _mm512_storeu_ps(sums + (row + i) * stride + 16, right[i]);
    }
  }
}

/// sums [32,32] likewise, of two tiles of rows; the second may be nullptr.
inline void multiply_blocks(const std::uint16_t* a0, const std::uint16_t* a1, const std::uint16_t* b, Index steps,
                            float* sums, Index stride = kBlockStrip, bool add = false) {
  multiply_block(a0, b, steps, sums, stride, add);
  if (a1) multiply_block(a1, b, steps, sums + kTileRows * stride, stride, add);
}

#ifdef LION_TILE_REGISTERS

/// int8, a row in units of its largest entry over 127.
struct Int8Dots {
  using Entry = std::int8_t;
  using Sum = std::int32_t;

  static float scale(const float* x, Index n) {
    // As integers the bits of |x| have the order of the numbers, with infinity and NaN above them all.
    __m512i largest = _mm512_setzero_si512();
    for (Index i = 0; i < n; i += 16) {
      const __m512 size = _mm512_abs_ps(_mm512_maskz_loadu_ps(detail::lanes(n, i), x + i));
      largest = _mm512_max_epi32(largest, _mm512_castps_si512(size));
    }
    return int8_scale(Eigen::numext::bit_cast<float>(_mm512_reduce_max_epi32(largest)));
  }

  /// n ≤ 64 entries of a row, then zeros.
  static void convert(const float* x, Index n, float scale, Entry* to) {
    const __m512 factor = _mm512_set1_ps(scale > 0 ? 1 / scale : 0);
    for (Index i = 0; i < 64; i += 16) {
      const __m512 value = i < n ? _mm512_maskz_loadu_ps(detail::lanes(n, i), x + i) : _mm512_setzero_ps();
      const __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(value, factor)));
      std::memcpy(to + i, &bytes, sizeof(bytes));
    }
  }

  static void first_rows() {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
  }
  static void second_rows() {
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
};

/// While it lives, every tile register of this thread is 16 rows of 64 bytes. One inside another is free.
class TileScope {
 public:
  TileScope() {
    if (depth_++ > 0) return;
    struct alignas(64) {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
  }
  ~TileScope() {
    if (--depth_ == 0) _tile_release();
  }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;

 private:
  static inline thread_local int depth_ = 0;
};

/// sums [32,32], rows `stride` apart, = or += a · b over `steps` tiles and blocks by tile registers: 0 … 3 sums, 4 and
/// 5 rows, 6 and 7 the halves of a block. Without a second tile of rows there are 16 rows of sums. Of `next`, the strip
/// that comes afterwards, a line of each half is asked for, so that weights that are not in the cache come while these
/// are multiplied.
template <class Kind>
void multiply_tiles(const TileRows<typename Kind::Entry>& a, const typename Kind::Entry* b,
                    const typename Kind::Entry* next, Index steps, typename Kind::Sum* sums, Index stride = kBlockStrip,
                    bool add = false) {
  constexpr Index half = PackedMatrix::block_size<typename Kind::Entry>() / 2;
  const Index row_bytes = a.row * static_cast<Index>(sizeof(typename Kind::Entry));
  __asm__ volatile("" ::: "memory");  // the instructions do not tell the compiler what they read
  auto* const more = sums + kTileRows * stride;
  if (add) {
    _tile_loadd(0, sums, 4 * stride);
    _tile_loadd(1, sums + 16, 4 * stride);
    if (a.second) {
      _tile_loadd(2, more, 4 * stride);
      _tile_loadd(3, more + 16, 4 * stride);
    }
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (Index s = 0; s < steps; ++s) {
    __builtin_prefetch(next + s * 2 * half, 0, 2);
    __builtin_prefetch(next + s * 2 * half + half, 0, 2);
    _tile_loadd(6, b + s * 2 * half, 64);
    _tile_loadd(4, a.first + s * a.step, row_bytes);
    _tile_loadd(7, b + s * 2 * half + half, 64);
    Kind::first_rows();
    if (!a.second) continue;
    _tile_loadd(5, a.second + s * a.step, row_bytes);
    Kind::second_rows();
  }
  _tile_stored(0, sums, 4 * stride);
  _tile_stored(1, sums + 16, 4 * stride);
  if (!a.second) return;
  _tile_stored(2, more, 4 * stride);
  _tile_stored(3, more + 16, 4 * stride);
}

#endif
#endif

}  // namespace lion::cpu

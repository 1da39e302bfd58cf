#pragma once
/// Products of small blocks of bfloat16 and int8 by what the CPU has for them: the tile registers of AMX, or the dot
/// products of AVX512_BF16, AVX512_VNNI and AVX_VNNI. This and cpu/int8_dots.hpp alone know their instructions.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "lion/core/config.hpp"
#include "lion/cpu/packed_matrix.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#ifdef __AVX512BF16__
#define LION_BFLOAT16_BLOCKS 1
// On Intel's CPUs, which have AMX for bfloat16, its dot products take twice as long as the multiply-adds of floats that
// they replace; on AMD's half as long, by what is published of Zen 4 and was not timed here. g++ before 12.3 takes a
// Zen 4 for a Zen 3. Where the compiler is told of none of them (-mavx512bf16), define this in all files to have them.
#if (defined(__znver3__) || defined(__znver4__) || defined(__znver5__)) && !defined(LION_BFLOAT16_DOTS)
#define LION_BFLOAT16_DOTS 1
#endif
#endif
#ifdef __AVX512VNNI__
#define LION_INT8_DOTS 1
#endif
#elif defined(__AVX2__) && defined(__AVXVNNI__)
#define LION_INT8_DOTS 1
#endif
#if defined(LION_BFLOAT16_DOTS) && !defined(LION_BFLOAT16_BLOCKS)
#undef LION_BFLOAT16_DOTS
#endif
#if defined(LION_BFLOAT16_BLOCKS) || defined(LION_INT8_DOTS)
#include <immintrin.h>
#define LION_DOT_BLOCKS 1
#if defined(LION_BFLOAT16_BLOCKS) && defined(LION_INT8_DOTS) && defined(__AMX_TILE__) && defined(__AMX_BF16__) && \
    defined(__AMX_INT8__) && defined(__linux__) && !defined(LION_NO_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#define LION_TILE_REGISTERS 1
#endif
#endif

namespace lion::cpu {

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

/// Whether a product with weights of this type is one of rows rounded to it, too: where the compiler is told of a CPU
/// that multiplies it faster than floats.
inline bool converts_rows([[maybe_unused]] WeightType type) {
#ifdef LION_INT8_DOTS
  if (type == WeightType::int8) return true;
#endif
#ifdef LION_BFLOAT16_DOTS
  if (type == WeightType::bfloat16) return true;
#endif
  return type == WeightType::bfloat16 && tile_registers();
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

#ifdef LION_BFLOAT16_BLOCKS

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
    const auto mask = static_cast<__mmask32>(n >= 32 ? ~0u : (1u << n) - 1u);
    _mm512_store_si512(to, _mm512_maskz_loadu_epi16(mask, x));
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

namespace detail {

/// sums [16,32], rows `stride` apart, = or += a · b over `steps` tiles and blocks: step(left, right, a, b, next) adds
/// what one step gives to both halves of 8 rows of sums, and asks for a block of `next`.
template <class Step>
LION_ALWAYS_INLINE void multiply_rows(const std::uint16_t* a, const std::uint16_t* b, const std::uint16_t* next,
                                      Index steps, float* sums, Index stride, bool add, Step&& step) {
  constexpr Index rows = 8, block = PackedMatrix::block_size<std::uint16_t>();
  for (Index row = 0; row < kTileRows; row += rows) {
    Packed<float> left[rows] = {}, right[rows] = {};
    if (add) {
      LION_UNROLL_BY(8)
      for (Index i = 0; i < rows; ++i) {
        left[i] = load(sums + (row + i) * stride);
        right[i] = load(sums + (row + i) * stride + 16);
      }
    }
    for (Index s = 0; s < steps; ++s) {
      step(left, right, a + s * block / 2 + row * 32, b + s * block, (row == 0 ? next : b) + s * block);
    }
    LION_UNROLL_BY(8)
    for (Index i = 0; i < rows; ++i) {
      store(sums + (row + i) * stride, left[i]);
      store(sums + (row + i) * stride + 16, right[i]);
    }
  }
}

/// One step by dot products of pairs. A type and no function, which could not be inlined where nothing is optimised.
struct DotStep {
  LION_ALWAYS_INLINE void operator()(Packed<float>* left, Packed<float>* right, const std::uint16_t* a,
                                     const std::uint16_t* b, const std::uint16_t* next) const {
    constexpr Index half = PackedMatrix::block_size<std::uint16_t>() / 2;
    for (Index pair = 0; pair < 16; ++pair) {
      const __m512i first = _mm512_load_si512(b + pair * 32), second = _mm512_load_si512(b + pair * 32 + half);
      __builtin_prefetch(next + pair * 32, 0, 2);
      __builtin_prefetch(next + pair * 32 + half, 0, 2);
      LION_UNROLL_BY(8)
      for (Index i = 0; i < 8; ++i) {
        std::int32_t both;
        std::memcpy(&both, a + i * 32 + pair * 2, sizeof(both));
        const __m512i factor = _mm512_set1_epi32(both);
        left[i] = add_pairs(left[i], factor, first);
        right[i] = add_pairs(right[i], factor, second);
      }
    }
  }
};

/// One step by multiply-adds of floats: an entry of a pair is the upper half of one.
struct FloatStep {
  LION_ALWAYS_INLINE void operator()(Packed<float>* left, Packed<float>* right, const std::uint16_t* a,
                                     const std::uint16_t* b, const std::uint16_t*) const {
    constexpr Index half = PackedMatrix::block_size<std::uint16_t>() / 2;
    using Bits = Packed<std::uint32_t>;
    alignas(kAlignment) float rows[8][32];
    LION_UNROLL_BY(8)
    for (Index i = 0; i < 8; ++i) {
      for (Index p = 0; p < 32; p += 16) {
        const __m256i entries = _mm256_load_si256(reinterpret_cast<const __m256i*>(a + i * 32 + p));
        store(rows[i] + p,
              same_bits<Packed<float>>(same_bits<Bits>(_mm512_maskz_cvtepu16_epi32(0xffff, entries)) << 16));
      }
    }
    for (Index pair = 0; pair < 16; ++pair) {
      const Bits first = load(reinterpret_cast<const std::uint32_t*>(b + pair * 32));
      const Bits second = load(reinterpret_cast<const std::uint32_t*>(b + pair * 32 + half));
      const auto multiply = [&](const Packed<float>& one, const Packed<float>& other, Index p) {
        LION_UNROLL_BY(8)
        for (Index i = 0; i < 8; ++i) {
          left[i] += rows[i][p] * one;
          right[i] += rows[i][p] * other;
        }
      };
      multiply(same_bits<Packed<float>>(first << 16), same_bits<Packed<float>>(second << 16), 2 * pair);
      multiply(same_bits<Packed<float>>(first & 0xffff0000u), same_bits<Packed<float>>(second & 0xffff0000u),
               2 * pair + 1);
    }
  }
};

}  // namespace detail

/// sums [16,32], rows `stride` apart, = or += a · b over `steps` tiles and blocks. `next` is the strip that comes
/// afterwards, or b: it is asked for.
inline void multiply_block(const std::uint16_t* a, const std::uint16_t* b, const std::uint16_t* next, Index steps,
                           float* sums, Index stride = kBlockStrip, bool add = false) {
#ifdef LION_BFLOAT16_DOTS
  detail::multiply_rows(a, b, next, steps, sums, stride, add, detail::DotStep());
#else
  detail::multiply_rows(a, b, next, steps, sums, stride, add, detail::FloatStep());
#endif
}

/// sums [32,32] likewise, of two tiles of rows; the second may be nullptr.
inline void multiply_blocks(const std::uint16_t* a0, const std::uint16_t* a1, const std::uint16_t* b,
                            const std::uint16_t* next, Index steps, float* sums, Index stride = kBlockStrip,
                            bool add = false) {
  multiply_block(a0, b, next, steps, sums, stride, add);
  if (a1) multiply_block(a1, b, b, steps, sums + kTileRows * stride, stride, add);
}

#endif

#ifdef LION_TILE_REGISTERS

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

#pragma once
/// Products by cuBLASLt. Compiles under nvcc only, as launch.hpp does.

#include <cublasLt.h>

#include <array>
#include <map>
#include <string>

#include "lion/cuda/launch.hpp"
#include "lion/cuda/memory.hpp"
#include "lion/nn/cuda/product.hpp"

namespace lion::cuda {

/// A handle of cuBLASLt, its workspace on the current device, and the algorithms it chose: for one thread and one
/// stream at a time. The first product of a shape asks for an algorithm and remembers it, up to 4,096 of them; nothing
/// else is allocated, and after it products may be captured in a graph, which the Blas must outlive.
class Blas {
 public:
  /// Throws CudaError.
  explicit Blas(std::size_t workspace = std::size_t(32) << 20) : workspace_(workspace) {
    require(cublasLtCreate(&handle_), "cublasLtCreate");
  }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  ~Blas() { (void)cublasLtDestroy(handle_); }

  /// As Product says, with float sums (never TF32); by the plain kernel where cuBLASLt has no algorithm.
  template <class T, class Out>
  void product(const Stream& stream, const Product<T, Out>& p) {
    if (p.y.size() == 0) return;
    // cuBLASLt refuses depth 0, and would read the bias in y's type.
    if (p.x.extent(1) == 0 || (p.bias && !std::same_as<T, Out>)) return plain_product(stream, p);
    // Rows are columns to cuBLAS: yᵀ [O,N] = W [O,I] · xᵀ [I,N], each with its rows as columns, or turned.
    const View<const Out, 2> add = p.residual ? p.residual : View<const Out, 2>(p.y);
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t weight, x, from, y;
    require(cublasLtMatmulDescInit(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescInit");
    set(product, CUBLASLT_MATMUL_DESC_TRANSA, lies_turned(p.weight) ? CUBLAS_OP_N : CUBLAS_OP_T);
    set(product, CUBLASLT_MATMUL_DESC_TRANSB, lies_turned(p.x) ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (p.bias) {
      set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    }
    lay_out(weight, p.weight);
    lay_out(x, p.x);
    lay_out(from, add);
    lay_out(y, View<const Out, 2>(p.y));
    const Key key{static_cast<Index>(sizeof(T)),
                  std::same_as<T, half>,
                  static_cast<Index>(sizeof(Out)),
                  p.y.extent(0),
                  p.x.extent(1),
                  p.y.extent(1),
                  p.x.stride(0),
                  p.x.stride(1),
                  p.weight.stride(0),
                  p.weight.stride(1),
                  p.y.stride(0),
                  add.stride(0),
                  static_cast<bool>(p.residual),
                  p.bias ? alignment(p.bias) : 0,
                  alignment(p.x.data()),
                  alignment(p.y.data()),
                  alignment(p.weight.data()),
                  alignment(add.data())};
    const Algorithm& chosen = algorithm(key, product, weight, x, from, y);
    if (!chosen.found) return plain_product(stream, p);
    const float one = 1, beta = p.residual ? 1 : 0;
    require(cublasLtMatmul(handle_, &product, &one, p.weight.data(), &weight, p.x.data(), &x, &beta, add.data(), &from,
                           p.y.data(), &y, &chosen.algorithm, workspace_.data(), workspace_.size(), stream.stream),
            "cublasLtMatmul");
  }

 private:
  using Key = std::array<Index, 18>;
  static constexpr std::size_t kMost = 4096;  // texts have ever new numbers of tokens
  struct Algorithm {
    bool found;
    cublasLtMatmulAlgo_t algorithm;
  };

  static void require(cublasStatus_t status, const char* call) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw CudaError("cuda: " + std::string(call) + ": " + cublasLtGetStatusString(status));
  }

  template <class X>
  static void set(cublasLtMatmulDescOpaque_t& product, cublasLtMatmulDescAttributes_t attribute, const X& value) {
    require(cublasLtMatmulDescSetAttribute(&product, attribute, &value, sizeof(value)),
            "cublasLtMatmulDescSetAttribute");
  }

  /// Whether the columns are what lies densely.
  template <class T>
  static bool lies_turned(const View<const T, 2>& x) {
    return x.stride(1) != 1 && x.extent(1) > 1;
  }

  /// The matrix as it lies, its dense rows (or columns) as columns.
  template <class T>
  static void lay_out(cublasLtMatrixLayoutOpaque_t& layout, const View<const T, 2>& view) {
    const View<const T, 2> x = lies_turned(view) ? turned(view) : view;
    const cudaDataType type = std::same_as<T, float> ? CUDA_R_32F : std::same_as<T, half> ? CUDA_R_16F : CUDA_R_16BF;
    const Index apart = x.extent(0) > 1 ? x.stride(0) : x.extent(1);  // of one row it may be anything
    require(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(x.extent(1)),
                                     static_cast<std::uint64_t>(x.extent(0)), apart),
            "cublasLtMatrixLayoutInit");
  }

  /// The largest power of two, of at most 256 bytes, that the address is a multiple of.
  static Index alignment(const void* data) {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    Index bytes = 1;
    while (bytes < 256 && address % static_cast<std::uintptr_t>(2 * bytes) == 0) bytes *= 2;
    return bytes;
  }

  const Algorithm& algorithm(const Key& key, cublasLtMatmulDescOpaque_t& product, cublasLtMatrixLayoutOpaque_t& weight,
                             cublasLtMatrixLayoutOpaque_t& x, cublasLtMatrixLayoutOpaque_t& from,
                             cublasLtMatrixLayoutOpaque_t& y) {
    if (const auto known = algorithms_.find(key); known != algorithms_.end()) return known->second;
    cublasLtMatmulPreferenceOpaque_t preference;
    require(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      require(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)),
              "cublasLtMatmulPreferenceSetAttribute");
    };
    const auto bytes = [&](std::size_t i) { return static_cast<std::uint32_t>(key[i]); };
    const std::uint32_t of_x = bytes(14), of_y = bytes(15), of_weight = bytes(16), of_added = bytes(17);
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_.size()));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, of_weight);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, of_x);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, of_added);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, of_y);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, &product, &weight, &x, &from, &y, &preference, 1, &best, &found);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) require(status, "cublasLtMatmulAlgoGetHeuristic");
    if (algorithms_.size() == kMost) algorithms_.clear();
    return algorithms_[key] = {status == CUBLAS_STATUS_SUCCESS && found > 0, best.algo};
  }

  cublasLtHandle_t handle_ = nullptr;
  Memory workspace_;
  std::map<Key, Algorithm> algorithms_;
};

/// Where a model's kernels and products are started: a stream and, for the products, a Blas of the caller's; without
/// one the plain kernel makes them, slowly.
struct Queue {
  Stream stream{};
  Blas* blas = nullptr;

  template <class Kernel>
  void launch(const char* name, const Shape<3>& grid, std::size_t shared_bytes,
              const typename Kernel::Parameters& parameters) const {
    stream.launch<Kernel>(name, grid, shared_bytes, parameters);
  }
  template <class T, class Out>
  void product(const Product<T, Out>& p) const {
    blas ? blas->product(stream, p) : plain_product(stream, p);
  }
};

}  // namespace lion::cuda

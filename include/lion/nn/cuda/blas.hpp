#pragma once
/// Products by cuBLASLt. Compiles under nvcc only, as launch.hpp does.

#include <cublasLt.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "lion/cuda/launch.hpp"
#include "lion/cuda/memory.hpp"
#include "lion/nn/cuda/product.hpp"

namespace lion::cuda {

/// A handle of cuBLASLt, its workspace on the current device, and the algorithms it chose: for one thread and one
/// stream at a time. The first product of a shape asks for an algorithm and remembers it; nothing else is allocated,
/// and products may be captured in a graph.
class Blas {
 public:
  /// Throws CudaError.
  explicit Blas(std::size_t workspace = std::size_t(32) << 20) : workspace_(workspace) {
    require(cublasLtCreate(&handle_), "cublasLtCreate");
  }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  ~Blas() { (void)cublasLtDestroy(handle_); }

  /// y = x Wᵀ + b, or y += it, with float sums (never TF32); by the plain kernel where cuBLASLt has no algorithm.
  template <class T>
  void product(const Stream& stream, const Product<T>& p) {
    if (p.y.size() == 0) return;
    // Rows are columns to cuBLAS: yᵀ [O,N] = W [O,I] · xᵀ [I,N], each with its rows as columns.
    const Index inputs = p.x.extent(1), outputs = p.y.extent(1), rows = p.y.extent(0);
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t weight, x, y;
    require(cublasLtMatmulDescInit(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescInit");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    set(product, CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    lay_out<T>(weight, inputs, outputs, inputs);
    lay_out<T>(x, inputs, rows, p.x.stride(0));
    lay_out<T>(y, outputs, rows, p.y.stride(0));
    const Algorithm& chosen =
        algorithm({sizeof(T), std::same_as<T, half>, rows, inputs, outputs, p.x.stride(0), p.y.stride(0), p.add,
                   alignment(p.x.data()), alignment(p.y.data()), alignment(p.weight)},
                  product, weight, x, y);
    if (!chosen.found) return plain_product(stream, p);
    const float one = 1, beta = p.add ? 1 : 0;
    require(cublasLtMatmul(handle_, &product, &one, p.weight, &weight, p.x.data(), &x, &beta, p.y.data(), &y,
                           p.y.data(), &y, &chosen.algorithm, workspace_.data(), workspace_.size(), stream.stream),
            "cublasLtMatmul");
  }

 private:
  using Key = std::array<Index, 11>;
  struct Algorithm {
    Key key;
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

  template <class T>
  static void lay_out(cublasLtMatrixLayoutOpaque_t& layout, Index rows, Index cols, Index stride) {
    const cudaDataType type = std::same_as<T, float> ? CUDA_R_32F : std::same_as<T, half> ? CUDA_R_16F : CUDA_R_16BF;
    require(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols),
                                     stride),
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
                             cublasLtMatrixLayoutOpaque_t& x, cublasLtMatrixLayoutOpaque_t& y) {
    for (const Algorithm& known : algorithms_) {
      if (known.key == key) return known;
    }
    cublasLtMatmulPreferenceOpaque_t preference;
    require(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      require(cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof(value)),
              "cublasLtMatmulPreferenceSetAttribute");
    };
    const auto bytes = [&](std::size_t i) { return static_cast<std::uint32_t>(key[i]); };
    const std::uint32_t of_x = bytes(8), of_y = bytes(9);
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<std::uint64_t>(workspace_.size()));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, bytes(10));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, of_x);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, of_y);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, of_y);
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, &product, &weight, &x, &y, &y, &preference, 1, &best, &found);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) require(status, "cublasLtMatmulAlgoGetHeuristic");
    algorithms_.push_back({key, status == CUBLAS_STATUS_SUCCESS && found > 0, best.algo});
    return algorithms_.back();
  }

  cublasLtHandle_t handle_ = nullptr;
  Memory workspace_;
  std::vector<Algorithm> algorithms_;
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
  template <class T>
  void product(const Product<T>& p) const {
    blas ? blas->product(stream, p) : plain_product(stream, p);
  }
};

}  // namespace lion::cuda

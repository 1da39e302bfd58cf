// The tests of training's kernels, on the GPU; and a step with cuBLASLt, captured in a graph.

#include "lion/train/cuda.hpp"
#include "simt/train.cpp"

TEST_CASE("a step captured in a graph goes on as steps do that are started one by one") {
  Random random(3);
  const model::Vision<float> host = disturbed(small_model("selective"), random);
  model::Vision<float> by_graph = disturbed(host.config(), random), one_by_one = disturbed(host.config(), random);
  const Examples examples(random, host.config(), 3);
  Tensor<double, 1> rate({1}), loss({1});  // of the heap, which the GPU sees
  rate(0) = 1e-3;
  const auto train = [&](model::Vision<float>& to, bool captured) {
    cuda::VisionTraining<float> training(host, {.max_norm = 1, .label_smoothing = 0.1});
    cuda::Blas blas;
    const cuda::Memory memory(training.workspace_size(3));
    Workspace workspace(memory.data(), memory.size());
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t launch = nullptr;
    REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
    const auto step = [&] {
      training.step({examples.images.view(), examples.labels}, rate.data(), loss.data(), workspace,
                    cuda::Queue{{stream}, &blas});
    };
    step();  // blas has seen the shapes
    if (captured) {
      REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
      step();
      REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
      REQUIRE(cudaGraphInstantiate(&launch, graph, 0) == cudaSuccess);
    }
    for (int time = 0; time < 3; ++time) {
      if (captured) {
        REQUIRE(cudaGraphLaunch(launch, stream) == cudaSuccess);
      } else {
        step();
      }
    }
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    REQUIRE(training.progress().steps == 4);
    training.download(to);
  };
  train(by_graph, true);
  train(one_by_one, false);
  CHECK(values_of(by_graph, false) == values_of(one_by_one, false));
}

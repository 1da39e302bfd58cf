// The tests of text training's kernels, on the GPU; and a step with cuBLASLt.

#include "lion/train/cuda.hpp"
#include "simt/train_text.cpp"

TEST_CASE("a masked language model learns the same by cuBLASLt's products") {
  Random random(3);
  Host host = disturbed<Host>(mlm::small_model("softmax"), random);
  const mlm::Texts texts({17, 1, 70, 5});
  Tensor<Index, 2> types;
  const Examples examples = examples_of(texts, true, types);
  Device<float> plain(host);
  const double wanted = plain.learn(examples);
  cuda::MaskedLanguageTraining<float> training(host);
  cuda::Blas blas;
  const cuda::Memory memory(training.workspace_size(examples.text, static_cast<Index>(examples.rows.size())));
  Workspace workspace(memory.data(), memory.size());
  Tensor<double, 1> loss({1});  // of the heap, which the GPU sees
  training.backward({examples.text, examples.rows, examples.labels}, loss.data(), workspace, cuda::Queue{{}, &blas});
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(loss(0) == Approx(wanted).epsilon(1e-5));
  plain.training.download_gradients(host);
  const Values gradients = values_of(host, true);
  training.download_gradients(host);
  check_each(host, values_of(host, true), gradients, 1e-4);
}

// The operator and the image models in bfloat16 as C functions over memory of the device: what bench/gpu/peers.py
// measures beside PyTorch. A function that fails returns a sentence, which lives until the next call; others nullptr.

#include <exception>
#include <string>

#include "lion/cuda.hpp"
#include "lion/form/form.hpp"
#include "lion/model/cuda.hpp"
#include "lion/visit.hpp"

namespace {

using namespace lion;
using T = bfloat16;

std::string failure;

template <class F>
const char* attempt(F&& f) {
  try {
    f();
    return nullptr;
  } catch (const std::exception& error) {
    failure = error.what();
    return failure.c_str();
  }
}

}  // namespace

extern "C" {

/// Tensors are [B,L,H,D] and contiguous, decays [H] or [B,H,L] float.
struct LionCall {
  const char *mask, *form;
  Index chunk, B, H, L, D;
  T *q, *k, *v, *y;
  float *decays, *row_sum;  // [B,H,L]
  T *dy, *dq, *dk, *dv;     // of backward
  float* slopes;            // like decays
  void* scratch;
  std::size_t scratch_bytes;
  cudaStream_t stream;
};
}

namespace {

/// f(attention, inputs, mask parameters, gradients of them) for the mask and form of the call.
template <class F>
void with_attention(const LionCall& c, F&& f) {
  const Shape<4> shape{c.B, c.H, c.L, c.D}, strides{c.L * c.H * c.D, c.D, c.H * c.D, 1};
  const AttentionInputs<T> in{{c.q, shape, strides}, {c.k, shape, strides}, {c.v, shape, strides}};
  visit_mask(c.mask, [&]<class M>(M) {
    MaskParameters<M, T> parameters;
    MaskGradients<M, T> slopes;
    if constexpr (M::decay == mask::DecayKind::per_head) {
      parameters = {{c.decays, {c.H}}}, slopes = {{c.slopes, {c.H}}};
    }
    if constexpr (M::decay == mask::DecayKind::per_token) {
      parameters = {{c.decays, {c.B, c.H, c.L}}}, slopes = {{c.slopes, {c.B, c.H, c.L}}};
    }
    std::visit(
        [&](const auto& form) {
          Attention<M, std::decay_t<decltype(form)>, backend::Cuda> attention;
          attention.form = form;
          f(attention, in, parameters, slopes, [&](T* data) { return View<T, 4>(data, shape, strides); });
        },
        parse_form(c.form, c.chunk));
  });
}

View<float, 3> row_sums(const LionCall& c) { return {c.row_sum, {c.B, c.H, c.L}}; }

}  // namespace

extern "C" {

const char* lion_scratch(const LionCall* c, std::size_t* forward, std::size_t* backward) {
  return attempt([&] {
    with_attention(*c, [&](const auto& attention, const auto& in, auto&&...) {
      *forward = attention.workspace_size(in) + 256;
      *backward = attention.backward_workspace_size(in, 1, true) + 256;
    });
  });
}

const char* lion_forward(const LionCall* c) {
  return attempt([&] {
    with_attention(*c, [&](const auto& attention, const auto& in, const auto& parameters, const auto&, auto&& view) {
      Workspace scratch(c->scratch, c->scratch_bytes);
      attention.forward(in, parameters, {view(c->y), row_sums(*c)}, scratch, cuda::Stream{c->stream});
    });
  });
}

const char* lion_backward(const LionCall* c) {
  return attempt([&] {
    with_attention(
        *c, [&](const auto& attention, const auto& in, const auto& parameters, const auto& slopes, auto&& view) {
          Workspace scratch(c->scratch, c->scratch_bytes);
          attention.backward(in, parameters, {view(c->dy), view(c->y), row_sums(*c)},
                             {view(c->dq), view(c->dk), view(c->dv)}, slopes, scratch, cuda::Stream{c->stream});
        });
  });
}

/// A base model with initial weights, for images of this size.
struct LionVision {
  cuda::Vision<T> model;
  cuda::Blas blas;
  Shape<4> images;
};

const char* lion_vision_create(const char* mask, const char* form, Index chunk, Index batch, Index image_size,
                               LionVision** model, std::size_t* scratch) {
  return attempt([&] {
    model::VisionConfig config = model::VisionConfig::base_size();
    config.mask_type = mask, config.form = form, config.chunk_size = chunk, config.image_size = image_size;
    const model::Vision<float> host(config);
    *model = new LionVision{cuda::Vision<T>(host), cuda::Blas(), {batch, 3, image_size, image_size}};
    *scratch = (*model)->model.workspace_size((*model)->images);
  });
}

void lion_vision_destroy(LionVision* model) { delete model; }

/// logits [batch,1000] of images [batch,3,size,size].
const char* lion_vision_forward(LionVision* model, T* images, T* logits, void* scratch, std::size_t bytes,
                                cudaStream_t stream) {
  return attempt([&] {
    Workspace workspace(scratch, bytes);
    model->model.forward(View<T, 4>(images, model->images), View<T, 2>(logits, {model->images[0], 1000}), workspace,
                         cuda::Queue{{stream}, &model->blas});
  });
}

}  // extern "C"

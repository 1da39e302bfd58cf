// Any bytes as an IDX, CIFAR or PNM file: they are refused with a FileError, or read within their bounds. (PNG and JPEG
// are stb_image's.)

#include <cstdint>
#include <cstdlib>
#include <span>

#include "lion/image/cifar.hpp"
#include "lion/image/idx.hpp"
#include "lion/image/pnm.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

template <class F>
void attempt(F&& f) {
  try {
    f();
  } catch (const lion::FileError&) {
  }
}

template <std::size_t Rank>
void read_idx(std::span<const std::byte> bytes) {
  const auto view = lion::image::parse_idx<Rank>(bytes, "fuzz");
  require(static_cast<std::size_t>(view.size()) == bytes.size() - 4 - 4 * Rank);
  unsigned sum = 0;
  for (lion::Index i = 0; i < view.size(); ++i) sum += view.data()[i];
  require(sum <= 255u * static_cast<unsigned>(view.size()));
}

void read_cifar(std::span<const std::byte> bytes, const lion::image::CifarFormat& format) {
  const auto set = lion::image::parse_cifar(bytes, format, "fuzz");
  require(set.size() > 0 && set.image(set.size() - 1).size() == 3072);
  for (const lion::Index label : set.labels) require(label >= 0 && label < set.classes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  attempt([&] { read_idx<1>(bytes); });
  attempt([&] { read_idx<3>(bytes); });
  attempt([&] { read_cifar(bytes, lion::image::CifarFormat::cifar10()); });
  attempt([&] { read_cifar(bytes, lion::image::CifarFormat::cifar100()); });
  attempt([&] {
    const auto grey = lion::image::decode_pnm(bytes, 1, "fuzz"), colour = lion::image::decode_pnm(bytes, 3, "fuzz");
    require(grey.size() > 0 && colour.size() == 3 * grey.size());
  });
  return 0;
}

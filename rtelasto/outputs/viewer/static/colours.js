// Colour maps, from hard (0) to soft (255), as canvas pixels.

// Every fourth colour of viridis (Stéfan van der Walt and Nathaniel Smith, 2015, CC0): even in lightness
// and safe for the colour-blind; hard tissue is dark.
const VIRIDIS =
  "44015446075a470d6047136548186a481d6f482374482878472d7b46327e453781443b844240864045883e49893d4e8a" +
  "3a538b38588c365c8d34608d32648e31688e2f6c8e2d708e2c738e2a778e297b8e277f8e26828e24868e238a8d218e8d" +
  "20928c1f968b1f9a8a1f9e891fa18721a58523a98326ad812ab07f2fb47c35b7793bbb7542be714ac16d52c5695ac864" +
  "65cb5e6ece5877d15381d34d8bd64695d840a0da39aadc32b5de2bc0df25cae11fd5e21adfe318eae51af4e61efde725";

const SIZE = 256;

function pixel(r, g, b) {
  return ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
}

function table(colourAt) {
  const pixels = new Uint32Array(SIZE);
  for (let i = 0; i < SIZE; i++) pixels[i] = pixel(...colourAt(i / (SIZE - 1)));
  return pixels;
}

function viridis(t) {
  const last = VIRIDIS.length / 6 - 1;
  const low = Math.min(Math.floor(t * last), last - 1);
  const f = t * last - low;
  return [0, 2, 4].map((c) => {
    const [a, b] = [low, low + 1].map((k) => parseInt(VIRIDIS.slice(6 * k + c, 6 * k + c + 2), 16));
    return a + f * (b - a);
  });
}

/** Around the colour circle from blue (t = 0) over green to red (t = 1). */
function hue(t) {
  const sixth = 4 * (1 - t);
  return [5, 3, 1].map((n) => {
    const k = (n + sixth) % 6;
    return 235 * (1 - Math.max(0, Math.min(k, 4 - k, 1)));
  });
}

export const COLOURS = {
  viridis: { name: "viridis", pixels: table(viridis) },
  grey: { name: "grey", pixels: table((t) => [t * 255, t * 255, t * 255]) },
  hue: { name: "hue, red soft", pixels: table(hue) },
  "hue-reversed": { name: "hue, blue soft", pixels: table((t) => hue(1 - t)) },
};

// As on scanners, a curve on the decibels keeps speckle, which lies close to the reference, at mid-grey.
const GREY_EXPONENT = 1.8;

/** B-mode values (steps of 0.25 dB, 240 the reference) as grey pixels. */
export const GREY_OF_BMODE = table((t) => {
  const level = 255 * Math.min(1, (t * 255) / 240) ** GREY_EXPONENT;
  return [level, level, level];
});

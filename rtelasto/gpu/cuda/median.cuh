// Weighted medians by radix selection: a histogram of the weights over the highest byte of the values shows
// in which byte the median lies; a histogram over the next byte of the values with this byte goes on from
// there. Weights are whole numbers, so that their sums are the same in any order.

#define BINS 256

// COPIES of every bin, for neighbouring items: most values have the same highest byte, and items that
// count in the same place wait for each other.
template <int SETS, int COPIES>
struct MedianScratch {
    unsigned bins[SETS][BINS][COPIES];
    unsigned sums[2][SETS][BINS];
    unsigned bin[SETS], before[SETS], rank[SETS];
    unsigned total[SETS];  // the weight of all values
    unsigned place[SETS];  // the result
    unsigned equal[SETS];  // weight equal to the result, from the middle on
};

// For every set, the smallest value up to which at least half of the weight lies. Value k of n counts by its
// place(set, k) in an order, a number of so many BYTES, and has weight(set, k, place). An item takes PER_ITEM
// values, so that their reads overlap.
template <int BYTES, int PER_ITEM, int SETS, int COPIES, class Place, class Weight>
HD void weighted_medians(int n, MedianScratch<SETS, COPIES>& s, Place place, Weight weight) {
    const int items = (n + PER_ITEM - 1) / PER_ITEM, top = 8 * (BYTES - 1);
    each(SETS * BINS, [&](int i) {
        for (int copy = 0; copy < COPIES; ++copy) s.bins[i / BINS][i % BINS][copy] = 0;
        if (i % BINS == 0) s.place[i / BINS] = 0;
    });
    for (int shift = top; shift >= 0; shift -= 8) {
        each(SETS * items, [&](int i) {
            const int set = i / items, item = i % items;
            unsigned places[PER_ITEM];
            for (int j = 0; j < PER_ITEM; ++j)
                places[j] = place(set, least(item + j * items, n - 1));
            for (int j = 0; j < PER_ITEM && item + j * items < n; ++j) {
                // The bytes above this one, of which there are none in the first round.
                if (shift < top && (places[j] ^ s.place[set]) >> (shift + 8)) continue;
                count(&s.bins[set][places[j] >> shift & 255u][item % COPIES],
                      weight(set, item + j * items, places[j]));
            }
        });
        each(SETS * BINS, [&](int i) {
            unsigned* copies = s.bins[i / BINS][i % BINS];
            unsigned total = 0;
            for (int copy = 0; copy < COPIES; ++copy) {
                total += copies[copy];
                copies[copy] = 0;
            }
            s.sums[0][i / BINS][i % BINS] = total;
        });
        // Weight up to every bin: each step adds up four sums, of 1, 4, 16 and then 64 bins.
        int from = 0;
        for (int step = 1; step < BINS; step *= 4, from = 1 - from)
            each(SETS * BINS, [&](int i) {
                unsigned total = 0;
                for (int bin = i % BINS, k = 0; k < 4 && bin >= 0; ++k, bin -= step)
                    total += s.sums[from][i / BINS][bin];
                s.sums[1 - from][i / BINS][i % BINS] = total;
            });
        if (shift == top)
            each(SETS, [&](int set) {
                s.total[set] = s.sums[from][set][BINS - 1];
                s.rank[set] = s.total[set] > 0 ? (s.total[set] - 1) / 2 : 0;
                s.bin[set] = s.before[set] = 0;
            });
        each(SETS * BINS, [&](int i) {
            const int set = i / BINS, bin = i % BINS;
            const unsigned* sums = s.sums[from][set];
            const unsigned before = bin > 0 ? sums[bin - 1] : 0u;
            if (s.rank[set] < before || s.rank[set] >= sums[bin]) return;
            s.bin[set] = bin;
            s.before[set] = before;
        });
        each(SETS, [&](int set) {
            s.rank[set] -= s.before[set];
            s.place[set] |= s.bin[set] << shift;
            s.equal[set] = s.sums[from][set][s.bin[set]] - s.before[set] - s.rank[set];
        });
    }
}

struct MiddleScratch {
    MedianScratch<1, 8> median;
    unsigned above[SUM_PARTS];
};

// Mean of the two middle values of those of n that are not NaN; NaN if there are none.
template <class Value>
HD double middle_of(int n, MiddleScratch& s, Value value) {
    const auto place = [&](int, int k) {
        const float number = value(k);
        return number == number ? order_of(number) : NOT_A_NUMBER;
    };
    weighted_medians<4, 8>(n, s.median, place, [](int, int, unsigned at) {
        return at != NOT_A_NUMBER ? 1u : 0u;
    });
    const unsigned lower = s.median.place[0], total = s.median.total[0];
    if (total == 0) return nan("");
    if (total % 2 == 1 || s.median.equal[0] > 1) return from_order(lower);
    each(SUM_PARTS, [&](int part) {
        unsigned next = NOT_A_NUMBER;
        for (int k = part; k < n; k += SUM_PARTS) {
            const unsigned other = place(0, k);
            if (other > lower && other < next) next = other;
        }
        s.above[part] = next;
    });
    for (int half = SUM_PARTS / 2; half > 0; half /= 2)
        each(half, [&](int part) {
            const unsigned other = s.above[part + half];
            if (other < s.above[part]) s.above[part] = other;
        });
    return 0.5 * ((double)from_order(lower) + (double)from_order(s.above[0]));
}

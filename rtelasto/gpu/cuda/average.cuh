// What the average over time needs of a pair (rtelasto/cpu/averaging/measurement.py), and the kernels that move
// patterns into and out of it (rtelasto/cpu/averaging/running_average.py). A pixel of the average has Σ w·m,
// Σ w and Σ λ·w.

struct NodeScratch {
    double partial[SUM_PARTS];
};

// How much a pixel counts in the means of its node.
HD float trust_of(const Work& w, long long at) {
    const float c = w.post_warp_correlation[at], weight = c * c * (c * c);
    const bool moves = fabsf(w.displacement_m[at]) < (float)LARGEST_MOTION;
    return weight > (float)LEAST_TRUST && moves && fabsf(w.strain[at]) < (float)LARGEST_MOTION
               ? weight
               : 0.0f;
}

// Mean displacement and strain of the pixels around a node, and their weight. Grid: (nodes in depth, nodes
// across the lines).
HD void node_means_block(Block b, const Work& w, int, NodeScratch& s) {
    const int line = b.y * NODE_LINES, row = b.x * NODE_ROWS;
    const int n_lines = least(NODE_LINES, (int)w.n_lines - line);
    const int n_rows = least(NODE_ROWS, (int)w.n_rows - row);
    const long long n_nodes = w.n_node_lines * w.n_node_rows;
    float* mean = w.node_means + b.y * w.n_node_rows + b.x;
    const auto sum = [&](const float* image) {
        sum_of(n_lines * n_rows, s.partial, [&](int i) {
            const long long at = (long long)(line + i / n_rows) * w.n_rows + row + i % n_rows;
            const float trust = trust_of(w, at);
            return trust > 0.0f ? (double)trust * (image ? image[at] : 1.0f) : 0.0;
        });
    };
    sum(nullptr);
    each(1, [&](int) { mean[2 * n_nodes] = (float)s.partial[0]; });
    for (int k = 0; k < 2; ++k) {
        sum(k == 0 ? w.displacement_m : w.strain);
        each(1, [&](int) {
            const float trust = mean[2 * n_nodes];
            mean[k * n_nodes] = trust > 0.0f ? (float)(s.partial[0] / trust) : 0.0f;
        });
    }
}

// A coarse image at a pixel: linear between its nodes, first across the lines.
HD float between_nodes(const Work& w, const float* image, int line, int row) {
    const int n = (int)w.n_node_rows, node = (int)w.node_lines[line];
    const float* left = image + node * n;
    const float* right = image + least(node + 1, (int)w.n_node_lines - 1) * n;
    const int k = (int)w.node_rows[row], next = least(k + 1, n - 1);
    const float share = w.node_line_shares[line];
    const float above = left[k] + share * (right[k] - left[k]);
    const float below = left[next] + share * (right[next] - left[next]);
    return above + w.node_row_shares[row] * (below - above);
}

// A place between two rows: those around it, and how far it is from the first.
struct Place {
    bool inside;
    int row, below;
    float share;
};

HD Place place_at(float position, int n_rows) {
    Place place;
    place.inside = position >= 0.0f && position <= (float)(n_rows - 1);
    place.row = place.inside ? least((int)position, most(n_rows - 2, 0)) : 0;
    place.below = least(place.row + 1, n_rows - 1);
    place.share = position - (float)place.row;
    return place;
}

// A shift in lines: the whole lines, and what is left, from 0 to 1.
struct Shift {
    int whole;
    float side;
};

HD Shift shift_of(double lines) {
    const float shift = (float)lines, whole = floorf(shift);
    return {(int)whole, shift - whole};
}

// The smaller one; NaN if the first is NaN.
HD float lesser(float a, float b) { return b < a ? b : a; }

HD float between_rows(const float* line, const Place& place) {
    return line[place.row] + place.share * (line[place.below] - line[place.row]);
}

// The certainty of a pattern at a place on a line and the next one, and its value; no certainty outside.
HD float moved_pixel(const Work& w, int left, float side, const Place& place, float* value) {
    const int n_rows = (int)w.n_rows, right = side > (float)WHOLE_LINE ? left + 1 : left;
    if (!place.inside || left < 0 || right >= w.n_lines) return 0.0f;
    const Average& a = *w.average;
    const float* strain = a.strain + (long long)left * n_rows;
    const float* certainty = a.certainty + (long long)left * n_rows;
    *value = between_rows(strain, place);
    float least_certain = lesser(certainty[place.row], certainty[place.below]);
    if (right != left) {
        *value += side * (between_rows(strain + n_rows, place) - *value);
        certainty += n_rows;
        least_certain =
            lesser(least_certain, lesser(certainty[place.row], certainty[place.below]));
    }
    *value *= (float)a.scale;
    return least_certain;
}

// The sums of a pixel.
struct Sums {
    float total, weight, faded;
};

// Adds a pattern to the sums of a pixel. Returns its distance from the average so far, squared, in variances,
// or -1 where there is nothing to compare, and its scatter.
HD float add_to(Sums& sums, const Average& a, float c, float value, float applied, float* scatter) {
    if (c > (float)LARGEST_CORRELATION) c = (float)LARGEST_CORRELATION;
    if (!(c > 0.0f && fabsf(value) < (float)LARGEST_PATTERN)) return -1.0f;
    float weight = c * c / (1.0f - c * c) * applied * applied, ratio = -1.0f;
    if (sums.weight > 0.0f && weight > 0.0f) {
        const float mean = sums.total / sums.weight, away = (value - mean) * (value - mean);
        const float spread = 1.0f / weight + sums.faded / (sums.weight * sums.weight);
        const float slack = (float)TOLERANCE * fmaxf(fabsf(mean), (float)LEAST_PATTERN);
        ratio = away / ((float)a.variance * spread + slack * slack);
        *scatter = away / spread;
        const float passes = 1.0f / (1.0f + ratio / (float)OUTLIER_GATE2);
        const float doubt = 1.0f - (float)CONTRADICTION_LOSS * (1.0f - passes);
        sums.total *= doubt;
        sums.weight *= doubt;
        sums.faded *= doubt * doubt;
        weight *= passes * passes;
    }
    sums.total += weight * value;
    sums.weight += weight;
    sums.faded += weight;
    return ratio;
}

// Sets spare = forget · sums + the pattern, and the two medians of every line that is compared. Grid: lines.
HD void add_pattern_block(Block b, const Work& w, int, MiddleScratch& s) {
    const Average& a = *w.average;
    const int n_rows = (int)w.n_rows, line = b.x;
    const int n_compared = (n_rows + ROW_STEP - 1) / ROW_STEP;
    const bool compared = line % LINE_STEP == 0;
    float* distances = w.compared + (long long)(line / LINE_STEP) * 2 * n_compared;
    float* scatters = distances + n_compared;
    float* apart = w.apart + 2 * line;
    const Shift shift = shift_of(a.lines);
    const float forget = (float)a.forget;
    each(n_rows, [&](int j) {
        const long long at = 3 * ((long long)line * n_rows + j);
        const Place place = place_at((float)j + between_nodes(w, w.tissue_rows, line, j), n_rows);
        float value = 0.0f, scatter = 0.0f;
        const float c = moved_pixel(w, line + shift.whole, shift.side, place, &value);
        Sums sums = {forget * a.sums[at], forget * a.sums[at + 1],
                     forget * forget * a.sums[at + 2]};
        const float applied = between_nodes(w, w.compression, line, j);
        const float ratio = add_to(sums, a, c, value, applied, &scatter);
        a.spare[at] = sums.total;
        a.spare[at + 1] = sums.weight;
        a.spare[at + 2] = sums.faded;
        if (!compared || j % ROW_STEP != 0) return;
        distances[j / ROW_STEP] = ratio >= 0.0f ? ratio : nanf("");
        scatters[j / ROW_STEP] = ratio >= 0.0f ? scatter : nanf("");
    });
    each(1, [&](int) { apart[0] = -1.0f; });
    if (!compared) return;
    const double distance = middle_of(n_compared, s, [&](int k) { return distances[k]; });
    const bool enough = s.median.total[0] >= (unsigned)FEWEST_PIXELS;
    each(1, [&](int) {
        if (enough) apart[0] = sqrtf((float)distance);
    });
    const double scatter = middle_of(n_compared, s, [&](int k) { return scatters[k]; });
    each(1, [&](int) { apart[1] = (float)scatter / (float)MEDIAN_OF_SQUARES; });
}

// The average and its standard deviation where the tissue of a frame was; NaN where unknown. Grid: (chunks of
// rows, lines).
HD void read_pattern_block(Block b, const Work& w, int, NoScratch&) {
    const Average& a = *w.average;
    const int n_rows = (int)w.n_rows, last = (int)w.n_lines - 1, first = b.x * CHUNK;
    const Shift shift = shift_of(-a.lines);
    const int left = within(b.y + shift.whole, 0, last);
    const int right = shift.side > (float)WHOLE_LINE ? least(left + 1, last) : left;
    each(least(CHUNK, n_rows - first), [&](int i) {
        const int j = first + i;
        const float moved = between_nodes(w, w.tissue_rows, b.y, j);
        const Place place = place_at(within((float)j - moved, 0.0f, (float)(n_rows - 1)), n_rows);
        float total = 0.0f, faded = 0.0f, found = 0.0f;
        for (int k = 0; k < 4; ++k) {
            const int line = k < 2 ? left : right, row = k % 2 == 0 ? place.row : place.below;
            const float part = (k < 2 ? 1.0f - shift.side : shift.side) *
                               (k % 2 == 0 ? 1.0f - place.share : place.share);
            const float* sums = a.sums + 3 * ((long long)line * n_rows + row);
            if (!(sums[1] > 0.0f)) continue;
            const float inverse = 1.0f / sums[1];
            total += part * sums[0] * inverse;
            faded += part * sums[2] * inverse * inverse;
            found += part;
        }
        const float mean = total / found, noise = (float)SHARED_NOISE * (float)a.variance;
        const float own = (float)OWN_ERROR * fmaxf(fabsf(mean), (float)LEAST_PATTERN);
        const long long at = (long long)b.y * n_rows + j;
        const bool known = found > 0.5f;
        w.relative_strain[at] = known ? mean : nanf("");
        w.relative_strain_std[at] = known ? sqrtf(noise * faded / found + own * own) : nanf("");
    });
}

// Sets spare to the sums, moved to the points to which their tissue moved. Grid: (chunks of rows, lines).
HD void move_sums_block(Block b, const Work& w, int, NoScratch&) {
    const Average& a = *w.average;
    const int n_rows = (int)w.n_rows, first = b.x * CHUNK;
    const int line = b.y - (int)rintf((float)a.lines);
    const float* from = a.sums + 3LL * within(line, 0, (int)w.n_lines - 1) * n_rows;
    each(least(CHUNK, n_rows - first), [&](int i) {
        const int j = first + i;
        const Place place = place_at((float)j - between_nodes(w, w.tissue_rows, b.y, j), n_rows);
        const bool inside = place.inside && line >= 0 && line < w.n_lines;
        const float* row = from + 3 * place.row;
        const float* below = from + 3 * place.below;
        float* to = a.spare + 3 * ((long long)b.y * n_rows + j);
        for (int q = 0; q < 3; ++q)
            to[q] = inside ? row[q] + place.share * (below[q] - row[q]) : 0.0f;
    });
}

// Both frames on the engine's grid, the post-compression one warped by the elongation
// (rtelasto/cpu/resample.py), and their common scale (rtelasto/cpu/stretch.py).

struct ResampleScratch {
    float gathered[SPAN];
    double partial[SUM_PARTS];
    double start, increment;
    double position, drift;  // of a slanted line at sample j: position + drift j, in lines
    long long line[LATERAL_TAPS];
    float weight[LATERAL_TAPS];
    int outside, whole, slanted;
};

// The lines around a position, as offsets in samples, and the weights of their samples.
HD void lateral_taps(const Work& w, double position, long long* line, float* weight) {
    const int base = (int)floor(position);
    const int phase = (int)rint((position - base) * LATERAL_PHASES);
    for (int k = 0; k < LATERAL_TAPS; ++k) {
        line[k] = within(base - (LATERAL_TAPS / 2 - 1) + k, 0, (int)w.n_lines - 1) * w.n_samples;
        weight[k] = w.lateral_table[phase * LATERAL_TAPS + k];
    }
}

// The position at which line i of a frame is read, given its elongation.
HD void read_line(const Work& w, const double* elongation, int i, ResampleScratch& s) {
    const int last = (int)w.n_lines - 1;
    const double edge = 0.5 * last, x = w.line_pitch_m * (i - edge);
    const double strain = axial_strain_at(elongation, x);
    const double offset_m = elongation[0] + elongation[1] * x + strain * w.start_depth_m;
    s.start = offset_m / w.axial_step_m;
    s.increment = w.ratio * (1.0 + strain);
    const double shear = elongation[6] * w.depth_step_m / w.line_pitch_m;
    const double depth_m = (double)(w.n_depths - 1) * w.depth_step_m;
    s.slanted = 0.5 * fabs(shear) * (double)(w.n_depths - 1) >= NEGLIGIBLE_SHEAR_LINES;
    const double z = w.start_depth_m + (s.slanted ? 0.0 : 0.5 * depth_m);
    const double side = w.line_pitch_m * edge;
    const double widest = fmax(fabs(lateral_displacement_at(elongation, side, z)),
                               fabs(lateral_displacement_at(elongation, -side, z)));
    const bool moved = s.slanted || widest / w.line_pitch_m >= NEGLIGIBLE_LINES;
    const double shift = lateral_displacement_at(elongation, x, z) / w.line_pitch_m;
    const double position = i + (moved ? shift : 0.0);
    // Sample k of the frame is that of output j at k = start + increment j.
    s.drift = shear / s.increment;
    s.position = position - s.drift * s.start;
    const bool beside = !(position >= -0.5 && position <= last + 0.5);
    s.outside = beside && !s.slanted;
    lateral_taps(w, beside ? 0.0 : position, s.line, s.weight);
    s.whole = s.weight[LATERAL_TAPS / 2 - 1] == 1.0f;
}

HD float gathered_sample(const Work& w, const float* frame, const ResampleScratch& s, int j) {
    if (j < 0 || j >= w.n_samples) return 0.0f;
    long long own_line[LATERAL_TAPS];
    float own_weight[LATERAL_TAPS], tap[LATERAL_TAPS];
    const long long* line = s.line;
    const float* weight = s.weight;
    if (s.slanted) {
        const double position = s.position + s.drift * j;
        if (!(position >= -0.5 && position <= (double)w.n_lines - 0.5)) return 0.0f;
        lateral_taps(w, position, own_line, own_weight);
        line = own_line;
        weight = own_weight;
    } else if (s.whole) {
        return frame[line[LATERAL_TAPS / 2 - 1] + j];
    }
    for (int k = 0; k < LATERAL_TAPS; ++k) tap[k] = frame[line[k] + j];
    const float inner = weight[2] * tap[2] + weight[3] * tap[3];
    const float outer = weight[1] * tap[1] + weight[4] * tap[4];
    return inner + outer + (weight[0] * tap[0] + weight[5] * tap[5]);
}

// A sample between 12 others by the Farrow polynomials; d is the delay from half-way between the
// middle two.
HD float polynomial_value(const float* taps, const float* s, float d) {
    float power[5] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    for (int k = 0; k < 6; ++k) {
        const float even = s[k] + s[11 - k], odd = s[k] - s[11 - k];
        power[0] += taps[k] * even;
        power[1] += taps[6 + k] * odd;
        power[2] += taps[12 + k] * even;
        power[3] += taps[18 + k] * odd;
        power[4] += taps[24 + k] * even;
    }
    const float d2 = d * d;
    return power[0] + d2 * (power[2] + d2 * power[4]) + d * (power[1] + d2 * power[3]);
}

HD float table_value(const Work& w, const float* s, double fraction) {
    const int n_taps = (int)w.axial_taps;
    const float* h = w.axial_table + (long long)(int)(fraction * N_PHASES + 0.5) * n_taps;
    float total = 0.0f;
    for (int tap = 0; tap < n_taps; ++tap) total += s[tap] * h[tap];
    return total;
}

// Grid: (chunks of output, lines, 2): pre-compression frame at z = 0, post-compression at z = 1.
HD void resample_block(Block b, const Work& w, int, ResampleScratch& s) {
    const int line = b.y, first = b.x * (int)w.out_chunk;
    const int n = least((int)w.out_chunk, (int)w.n_depths - first);
    const double none[7] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    const double* elongation = b.z == 0 ? none : w.summary->elongation;
    const float* frame = ring_echoes(w, b.z == 0 ? w.header->pre_slot : w.header->post_slot);
    float* out = (b.z == 0 ? w.pre : w.post) + (long long)line * w.n_depths + first;
    const bool untouched = b.z == 0 && w.own_grid;
    each(1, [&](int) { read_line(w, elongation, line, s); });
    const int n_taps = w.polynomial ? POLYNOMIAL_TAPS : (int)w.axial_taps;
    // The first sample that any output of this chunk reads.
    const int low = (int)floor(s.start + s.increment * first) - (n_taps / 2 - 1);
    const int span = least(SPAN, (int)ceil(s.increment * n) + n_taps + 2);
    if (!s.outside && !untouched)
        each(span, [&](int j) { s.gathered[j] = gathered_sample(w, frame, s, low + j); });
    each(n, [&](int j) {
        float value = 0.0f;
        const double position = s.start + s.increment * (first + j);
        if (untouched) {
            value = frame[(long long)line * w.n_samples + first + j];
        } else if (!s.outside && position >= -0.5 && position <= w.n_samples - 0.5) {
            const int base = (int)floor(position);
            const double fraction = position - base;
            const float* read = s.gathered + (base - (n_taps / 2 - 1) - low);
            value = w.polynomial ? polynomial_value(w.axial_table, read, (float)(fraction - 0.5))
                                 : table_value(w, read, fraction);
        }
        out[j] = value;
    });
    sum_of(n, s.partial, [&](int j) { return (double)out[j] * out[j]; });
    each(1, [&](int) {
        const long long n_chunks = (w.n_depths + w.out_chunk - 1) / w.out_chunk;
        w.stretched_power[(b.z * w.n_lines + line) * n_chunks + b.x] = s.partial[0];
    });
}

// Scales both frames to a joint RMS of 1. Grid: (chunks of both images).
HD void scale_block(Block b, const Work& w, int, EnergyScratch& s) {
    sum_of((int)w.n_stretched_power, s.partial, [&](int i) { return w.stretched_power[i]; });
    const long long size = w.n_lines * w.n_depths;
    const double mean_square = s.partial[0] / (2.0 * (double)size);
    const float factor = mean_square > 0.0 ? (float)(1.0 / sqrt(mean_square)) : 1.0f;
    const long long first = (long long)b.x * SCALE_CHUNK;
    const long long left = 2 * size - first;
    each(left < SCALE_CHUNK ? (int)left : SCALE_CHUNK, [&](int i) {
        const long long at = first + i;
        float* image = at < size ? w.pre + at : w.post + (at - size);
        *image *= factor;
    });
}

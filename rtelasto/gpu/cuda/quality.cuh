// The total motion (rtelasto/frames/strain.py), the correlation of the frames after it
// (rtelasto/cpu/quality.py), and the two medians that summarise a strain frame.

// Grid: (chunks of the output).
HD void compose_block(Block b, const Work& w, int, NoScratch&) {
    const int n_rows = (int)w.n_rows;
    const double* elongation = w.summary->elongation;
    const float slope = (float)elongation[5];
    const long long first = (long long)b.x * SCALE_CHUNK, left = w.n_lines * n_rows - first;
    each(left < SCALE_CHUNK ? (int)left : SCALE_CHUNK, [&](int i) {
        const long long at = first + i;
        const int line = (int)(at / n_rows), row = (int)(at % n_rows);
        const double x = w.line_pitch_m * (line - 0.5 * (double)(w.n_lines - 1));
        const double z = w.start_depth_m + w.row_step_m * row;
        const float global_strain = (float)axial_strain_at(elongation, x);
        const float at_rest = (float)axial_displacement_at(elongation, x, z);
        const float r = w.residual_samples[at] * (float)w.depth_step_m;
        w.displacement_m[at] = at_rest + (1.0f + global_strain) * r;
        w.strain[at] = w.residual_strain[at] * (1.0f + global_strain) + global_strain;
        if (w.residual_lateral) {
            const float aside = (float)lateral_displacement_at(elongation, x, z + r);
            const float left = w.residual_lateral[at] * (float)w.line_pitch_m;
            w.lateral_displacement_m[at] = aside + (1.0f + slope) * left;
        }
        if (w.residual_lateral_strain)
            w.lateral_strain[at] = w.residual_lateral_strain[at] * (1.0f + slope) + slope;
        if (w.residual_strain_std)
            w.axial_strain_std[at] = w.residual_strain_std[at] * (1.0f + global_strain);
    });
}

// Neighbouring rows read samples that are a few apart: with a gap after every 32, from different banks.
struct AgreementScratch {
    float cross[SPAN + SPAN / 32], pre[SPAN + SPAN / 32], post[SPAN + SPAN / 32];
};

HD int with_gaps(int i) { return i + i / 32; }

// The residual at sample j of a line, in samples: linear between rows, constant beyond the last.
HD float residual_at(const Work& w, const float* residual, int j) {
    const int stride = (int)w.axial_stride, row = j / stride;
    if (row >= w.n_rows - 1) return residual[w.n_rows - 1];
    const float change = (residual[row + 1] - residual[row]) * (float)(1.0 / (double)stride);
    return residual[row] + (float)(j - row * stride) * change;
}

// A line of the post-compression frame at j + r by cubic convolution; false outside it or if r is NaN.
HD bool read_moved(const float* line, int n, int j, float r, float* value) {
    const float largest = 16384.0f;
    *value = 0.0f;
    if (!(r >= -largest && r <= largest)) return false;
    const int whole = (int)(r + largest) - (int)largest, position = j + whole;
    const float t = r - (float)whole;
    if (position < 0 || !((float)position + t <= (float)(n - 1))) return false;
    const int k = least(position, n - 1);
    *value = cubic(line[most(k - 1, 0)], line[k], line[least(k + 1, n - 1)],
                   line[least(k + 2, n - 1)], t);
    return true;
}

// Σ pre·post, Σ pre², Σ post² over the window around every row; a row that leads outside has
// Σ pre² = -1. Grid: (chunks of rows, lines).
HD void agreement_block(Block b, const Work& w, int, AgreementScratch& s) {
    const int n = (int)w.n_depths, stride = (int)w.axial_stride, half = (int)w.half_window;
    const int first_row = b.x * (int)w.row_chunk;
    const int rows = least((int)w.row_chunk, (int)w.n_rows - first_row);
    const int low = most(first_row * stride - half, 0);
    const int high = least((first_row + rows - 1) * stride + half + 1, n);
    const float* pre = w.pre + (long long)b.y * n;
    const float* post = w.post + (long long)b.y * n;
    const float* residual = w.residual_samples + b.y * w.n_rows;
    float* sums = w.agreement + (b.y * w.n_rows + first_row) * 3;
    each(high - low, [&](int i) {
        float value;
        const bool inside = read_moved(post, n, low + i, residual_at(w, residual, low + i), &value);
        const float a = inside ? pre[low + i] : 0.0f;
        const int at = with_gaps(i);
        s.cross[at] = a * value;
        s.pre[at] = a * a;
        s.post[at] = value * value;
    });
    each(rows, [&](int i) {
        const int centre = (first_row + i) * stride;
        const double position = centre + (double)residual[first_row + i];
        float cross = 0.0f, energy_pre = -1.0f, energy_post = 0.0f;
        if (position >= 0.0 && position <= n - 1.0 && centre <= n - 1) {
            energy_pre = 0.0f;
            for (int j = most(centre - half, 0); j < least(centre + half + 1, n); ++j) {
                const int at = with_gaps(j - low);
                cross += s.cross[at];
                energy_pre += s.pre[at];
                energy_post += s.post[at];
            }
        }
        sums[3 * i] = cross;
        sums[3 * i + 1] = energy_pre;
        sums[3 * i + 2] = energy_post;
    });
}

// Correlation of three lines together. Grid: (chunks of the output).
HD void correlation_block(Block b, const Work& w, int, NoScratch&) {
    const int n_rows = (int)w.n_rows;
    const long long first = (long long)b.x * SCALE_CHUNK, left = w.n_lines * n_rows - first;
    const float floor_ = (float)w.power_floor;
    each(left < SCALE_CHUNK ? (int)left : SCALE_CHUNK, [&](int i) {
        const long long at = first + i;
        const int line = (int)(at / n_rows);
        const float* own = w.agreement + 3 * at;
        float value = 0.0f;
        if (own[1] > floor_ && own[2] > floor_) {
            float cross = own[0], energy_pre = own[1], energy_post = own[2];
            for (int side = -1; side <= 1; side += 2) {
                if (line + side < 0 || line + side >= w.n_lines) continue;
                const float* other = own + 3 * side * n_rows;
                if (!(other[1] > 0.0f)) continue;
                cross += other[0];
                energy_pre += other[1];
                energy_post += other[2];
            }
            value = within(cross / (sqrtf(energy_pre) * sqrtf(energy_post)), 0.0f, 1.0f);
        }
        w.correlation[at] = w.post_warp_correlation[at] = value;
    });
}

// How certain the strain is, for the average over time, where the network gives its standard deviation
// (rtelasto/cpu/averaging/measurement.py). Grid: (chunks of the output).
HD void certainty_block(Block b, const Work& w, int, NoScratch&) {
    const long long first = (long long)b.x * SCALE_CHUNK, left = w.n_lines * w.n_rows - first;
    each(left < SCALE_CHUNK ? (int)left : SCALE_CHUNK, [&](int i) {
        const float std = w.axial_strain_std[first + i];
        const bool known = w.correlation[first + i] > 0.0f && std - std == 0.0f;
        const float variances = std * std * (float)(1.0 / UNIT_VARIANCE);
        w.certainty[first + i] = known ? 1.0f / sqrtf(1.0f + variances) : 0.0f;
    });
}

// The median of the correlation in block 0, of the strain in block 1. Grid: 2.
HD void medians_block(Block b, const Work& w, int, MiddleScratch& s) {
    const float* image = b.x == 0 ? w.correlation : w.strain;
    const double median =
        middle_of((int)(w.n_lines * w.n_rows), s, [&](int k) { return image[k]; });
    each(1, [&](int) {
        if (b.x == 0) w.summary->quality = median;
        else w.summary->applied_strain = median;
    });
}

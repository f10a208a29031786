// One block of a pair under an assumed motion: correlation at a few lags, and the correction of the motion
// (rtelasto/cpu/stretching/block_motion.py).

#define TILE_POINTS (MAX_BLOCK_POINTS + 2 * PAD)
#define N_SUMS (3 * N_LAGS + 1)  // per lag Re, Im and energy of post; the energy of pre

struct MeasureScratch {
    WarpedLine line[MAX_BLOCK_LINES + 2];
    float pre[2][MAX_BLOCK_LINES][MAX_BLOCK_POINTS];
    float post[2][MAX_BLOCK_LINES + 2][TILE_POINTS];  // one more line on either side, and PAD points
    float part[N_SUMS][MAX_BLOCK_LINES];
    float sum[N_SUMS];
    float rho[N_LAGS];
};

// Position of the maximum of a Gaussian through three values, clipped to ±1.
HD float gaussian_peak(float before, float middle, float after) {
    const float a = logf(fmaxf(before, 1e-3f)), b = logf(fmaxf(middle, 1e-3f));
    const float c = logf(fmaxf(after, 1e-3f));
    const float curvature = 2.0f * b - a - c;
    if (curvature <= 1e-3f) return c > a ? 1.0f : (c < a ? -1.0f : 0.0f);
    return within(0.5f * (c - a) / curvature, -1.0f, 1.0f);
}

// Weight of a block: 1 / variance of a delay estimate.
HD float information(float correlation) {
    const float squared = correlation * correlation;
    return squared / (1.0f - squared + 0.02f);
}

// |correlation| at one lag from its sums Re, Im, Σ |post|² and the energy of pre.
HD float lag_correlation(const float* sum, float own, float floor_) {
    const float norm = sqrtf(own) * sqrtf(fmaxf(sum[2], floor_));
    return fminf(sqrtf(sum[0] * sum[0] + sum[1] * sum[1]) / norm, 1.0f);
}

// The correction of the motion from the sums of one block; rho holds `lag_correlation` of every lag.
HD BlockMotion block_motion(const Work& w, const float* sum, const float* rho, float floor_) {
    BlockMotion result = {-1.0, {0.0f, 0.0f}, {0.0f, 0.0f}};
    if (!(sum[3 * N_LAGS] > floor_)) return result;
    int best = AXIAL_LAGS;
    for (int lag = 0; lag <= 2 * AXIAL_LAGS; ++lag)
        if (rho[lag] > rho[best]) best = lag;
    result.correlation = rho[AXIAL_LAGS];
    if (!(sum[3 * AXIAL_LAGS + 2] > floor_)) return result;
    const int inner = within(best, 1, 2 * AXIAL_LAGS - 1);
    const float peak = gaussian_peak(rho[inner - 1], rho[inner], rho[inner + 1]);
    const float coarse = ((float)(inner - AXIAL_LAGS) + peak) * (float)w.decimation;
    const float cycles = (float)w.cycles_per_sample;
    const float fine = atan2f(sum[3 * best + 1], sum[3 * best]) / (float)-TWO_PI;
    result.change[0] = (fine + rintf(coarse * cycles - fine)) / cycles;
    result.change[1] =
        gaussian_peak(rho[2 * AXIAL_LAGS + 1], rho[AXIAL_LAGS], rho[2 * AXIAL_LAGS + 2]);
    result.weight[0] = information(rho[best]);
    result.weight[1] = information(rho[AXIAL_LAGS]);
    return result;
}

// Measures one block under the motion of a candidate.
HD void measure(const Work& w, int axial, int lateral, int candidate, MeasureScratch& s) {
    const double* motion = w.candidates[candidate].motion;
    const int begin = (int)w.block_points[axial], n = (int)w.block_points[axial + 1] - begin;
    const int top = (int)w.block_lines[lateral], lines = (int)w.block_lines[lateral + 1] - top;
    const long long pre_slot = w.header->pre_slot, post_slot = w.header->post_slot;
    const float* pre = ring_baseband(w, pre_slot);
    const float* post = ring_baseband(w, post_slot);
    const float pre_scale = w.ring_statistics[pre_slot].scale;
    const float post_scale = w.ring_statistics[post_slot].scale;
    const long long plane = w.n_lines * w.n_points;
    const int tile = n + 2 * PAD;
    each(lines + 2, [&](int row) {
        s.line[row] = warped_line(w, motion, top + row - 1);
    });
    each((lines + 2) * tile, [&](int i) {
        const int row = i / tile, column = i % tile;
        warped_point(w, s.line[row], post, post + plane, post_scale, begin + column - PAD,
                     &s.post[0][row][column], &s.post[1][row][column]);
        if (row < lines && column < n) {
            const long long at = (top + row) * w.n_points + begin + column;
            s.pre[0][row][column] = pre_scale * pre[at];
            s.pre[1][row][column] = pre_scale * pre[plane + at];
        }
    });
    each(N_LAGS * lines, [&](int i) {
        const int lag = i / lines, row = i % lines;
        const bool axial = lag <= 2 * AXIAL_LAGS;
        const int other = row + 1 + (axial ? 0 : 2 * (lag - 2 * AXIAL_LAGS) - 3);
        const int shift = axial ? lag : PAD;
        float p = 0.0f, q = 0.0f, energy = 0.0f, own = 0.0f;
        for (int k = 0; k < n; ++k) {
            const float a = s.pre[0][row][k], c = s.post[0][other][k + shift];
            const float d = s.post[1][other][k + shift], e = s.pre[1][row][k];
            p += a * c + e * d;
            q += a * d - e * c;
            energy += c * c + d * d;
            own += a * a + e * e;
        }
        s.part[3 * lag][row] = p;
        s.part[3 * lag + 1][row] = q;
        s.part[3 * lag + 2][row] = energy;
        if (lag == 0) s.part[3 * N_LAGS][row] = own;
    });
    each(N_SUMS, [&](int i) {
        float total = 0.0f;
        for (int row = 0; row < lines; ++row) total += s.part[i][row];
        s.sum[i] = total;
    });
    const float floor_ = w.ring_statistics[pre_slot].floor;
    each(N_LAGS, [&](int lag) {
        s.rho[lag] = lag_correlation(s.sum + 3 * lag, s.sum[3 * N_LAGS], floor_);
    });
    each(1, [&](int) {
        w.blocks[candidate * w.n_blocks + lateral * w.n_axial + axial] =
            block_motion(w, s.sum, s.rho, floor_);
    });
}

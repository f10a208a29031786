// Search for large motion: votes of block correlations for a motion linear in depth and line
// (rtelasto/cpu/stretching/texture.py, rtelasto/cpu/stretching/wide_search.py). All kernels return at once if
// refinement from rest was accepted; they have few blocks, because even these take time to start.

HD float* envelope_of(const Work& w, int frame) {
    return w.envelope + (long long)frame * w.n_lines * w.n_texture;
}

HD float* texture_of(const Work& w, int frame) {
    return w.texture + (long long)frame * w.n_lines * w.n_texture;
}

// Compressed envelope of both frames at half the baseband rate. Grid: (chunks, lines, 2).
HD void envelope_block(Block b, const Work& w, int, NoScratch&) {
    if (!*w.widely) return;
    const long long slot = b.z == 0 ? w.header->pre_slot : w.header->post_slot;
    const float* real = ring_baseband(w, slot) + b.y * w.n_points;
    const float* imag = real + w.n_lines * w.n_points;
    const float scale = w.ring_statistics[slot].scale;
    float* out = envelope_of(w, b.z) + b.y * w.n_texture;
    const int first = b.x * CHUNK;
    each(least(CHUNK, (int)w.n_texture - first), [&](int i) {
        const int m = 2 * (first + i);
        float power = 0.0f;
        for (int n = m; n < m + 2; ++n) {
            const float p = scale * real[n], q = scale * imag[n];
            power += p * p + q * q;
        }
        out[first + i] = sqrtf(sqrtf(power));
    });
}

// Locally of mean 0 and variance 1. Grid: (chunks, lines, 2).
HD void texture_block(Block b, const Work& w, int, NoScratch&) {
    if (!*w.widely) return;
    const float* values = envelope_of(w, b.z);
    const int n = (int)w.n_texture, line = b.y, first = b.x * CHUNK;
    float* out = texture_of(w, b.z) + (long long)line * n;
    const int top = most(line - NORMALISING_LINES, 0);
    const int bottom = least(line + NORMALISING_LINES, (int)w.n_lines - 1);
    each(least(CHUNK, n - first), [&](int i) {
        const int m = first + i;
        const int left = most(m - NORMALISING_POINTS, 0), right = least(m + NORMALISING_POINTS, n - 1);
        float total = 0.0f, squares = 0.0f;
        for (int y = top; y <= bottom; ++y)
            for (int x = left; x <= right; ++x) total += values[(long long)y * n + x];
        const float size = (float)((bottom - top + 1) * (right - left + 1));
        const float mean = total / size;
        for (int y = top; y <= bottom; ++y)
            for (int x = left; x <= right; ++x) {
                const float apart = values[(long long)y * n + x] - mean;
                squares += apart * apart;
            }
        const float variance = squares / size;
        const bool flat = !(variance > 1e-6f * mean * mean && variance > 0.0f);
        out[m] = flat ? 0.0f : (values[(long long)line * n + m] - mean) / sqrtf(variance);
    });
}

HD int n_lateral_lags(const Work& w) { return 2 * (int)w.lateral_lags + 1; }
HD int n_axial_lags(const Work& w) { return 2 * (int)w.axial_lags + 1; }

HD float* volume_of(const Work& w, int lateral, int axial, int lag) {
    const long long block = (long long)lateral * w.wide_axial + axial;
    return w.volumes + (block * n_lateral_lags(w) + lag) * n_axial_lags(w);
}

// Mean product of the textures of a block at all lags. Grid: (axial blocks, lateral blocks).
HD void volumes_block(Block b, const Work& w, int, NoScratch&) {
    if (!*w.widely) return;
    const int begin = (int)w.wide_points[b.x], end = (int)w.wide_points[b.x + 1];
    const int top = (int)w.wide_lines[b.y], bottom = (int)w.wide_lines[b.y + 1];
    const int n = (int)w.n_texture, axial_lags = n_axial_lags(w);
    const float* pre = texture_of(w, 0);
    const float* post = texture_of(w, 1);
    each(n_lateral_lags(w) * axial_lags, [&](int i) {
        const int lag = i % axial_lags, ahead = lag - (int)w.axial_lags;
        const int shift = i / axial_lags - (int)w.lateral_lags;
        float total = 0.0f;
        for (int line = most(top, -shift); line < least(bottom, (int)w.n_lines - shift); ++line)
            for (int k = most(begin, -ahead); k < least(end, n - ahead); ++k)
                total += pre[(long long)line * n + k] * post[(long long)(line + shift) * n + k + ahead];
        volume_of(w, b.y, b.x, i / axial_lags)[lag] =
            total / (float)((bottom - top) * (end - begin));
    });
}

// Highest of three neighbouring axial lags, so that coarse hypotheses do not miss a peak.
HD float spread(const float* volume, int lag, int n) {
    float best = volume[lag];
    if (lag > 0) best = fmaxf(best, volume[lag - 1]);
    if (lag < n - 1) best = fmaxf(best, volume[lag + 1]);
    return best;
}

HD int n_tops(const Work& w) { return 2 * (int)w.tops + 1; }

HD float* votes_of(const Work& w, int lateral, int lag, int top) {
    const long long row = ((long long)lateral * n_lateral_lags(w) + lag) * n_tops(w) + top;
    return w.votes + row * n_axial_lags(w);
}

// Sum of the volumes down straight lines from lag `top` at the top to lag `bottom` at the bottom.
// Grid: (tops, lateral blocks).
HD void votes_block(Block b, const Work& w, int, NoScratch&) {
    if (!*w.widely) return;
    const int axial_lags = n_axial_lags(w);
    each(n_lateral_lags(w) * axial_lags, [&](int i) {
        const int lag = i / axial_lags, bottom = i % axial_lags;
        float total = 0.0f;
        for (int block = 0; block < w.wide_axial; ++block) {
            const double depth = 0.5 * (w.wide_z[block] + 1.0);
            const double start = (b.x - (int)w.tops + (int)w.axial_lags) * (1.0 - depth) + 0.5;
            total += spread(volume_of(w, b.y, block, lag), (int)(start + depth * bottom), axial_lags);
        }
        votes_of(w, b.y, lag, b.x)[bottom] = total;
    });
}

// Lateral blocks whose shifts are kept; there are more only in frames of more than about 500 lines.
#define TILT_BLOCKS 64

// Shifts by a tilt, in lags.
struct Shifts {
    int top, bottom, lag;
};

struct TiltScratch {
    Shifts shifts[TILT_BLOCKS];
    float best[TILT_PARTS];
    int where[TILT_PARTS];
};

HD Shifts tilted(const Work& w, const double* tilt, int lateral) {
    const double x = w.wide_x[lateral * w.wide_axial];
    return Shifts{(int)floor(tilt[0] * x + 0.5), (int)floor(tilt[1] * x + 0.5),
                  (int)floor(tilt[2] * x + 0.5)};
}

// Votes for one motion: those of all lateral blocks, shifted by the tilt.
HD float tilted_votes(const Work& w, const double* tilt, const Shifts* shifts, int lag, int top,
                      int bottom) {
    float total = 0.0f;
    for (int lateral = 0; lateral < w.wide_lateral; ++lateral) {
        const Shifts by = lateral < TILT_BLOCKS ? shifts[lateral] : tilted(w, tilt, lateral);
        const int this_lag = lag + by.lag, this_top = top + by.top;
        const int this_bottom = bottom + by.bottom;
        if (this_lag < 0 || this_lag >= n_lateral_lags(w) || this_top < 0 ||
            this_top >= n_tops(w) || this_bottom < 0 || this_bottom >= n_axial_lags(w))
            continue;
        total += votes_of(w, lateral, this_lag, this_top)[this_bottom];
    }
    return total;
}

// The best motion of every tilt. Grid: (tilts).
HD void tilts_block(Block b, const Work& w, int, TiltScratch& s) {
    if (!*w.widely) return;
    const double* tilt = w.tilts + 3 * b.x;
    const int n_bottom = n_axial_lags(w), n_top = n_tops(w);
    const int n = n_lateral_lags(w) * n_top * n_bottom;
    each(least((int)w.wide_lateral, TILT_BLOCKS),
         [&](int lateral) { s.shifts[lateral] = tilted(w, tilt, lateral); });
    each(TILT_PARTS, [&](int part) {
        float best = -1e30f;
        int where = 0;
        for (int i = part; i < n; i += TILT_PARTS) {
            const int bottom = i % n_bottom, top = i / n_bottom % n_top, lag = i / n_bottom / n_top;
            const int slope = bottom - top - (int)w.axial_lags + (int)w.tops;
            if (slope > w.max_slope || -slope > w.max_slope) continue;
            const float votes = tilted_votes(w, tilt, s.shifts, lag, top, bottom);
            if (votes > best) {
                best = votes;
                where = i;
            }
        }
        s.best[part] = best;
        s.where[part] = where;
    });
    each(1, [&](int) {
        int best = 0;
        for (int part = 1; part < TILT_PARTS; ++part)
            if (s.best[part] > s.best[best] ||
                (s.best[part] == s.best[best] && s.where[part] < s.where[best]))
                best = part;
        w.tilt_votes[b.x] = s.best[best];
        w.tilt_where[b.x] = s.where[best];
    });
}

struct ProposeScratch {
    FitScratch fit;
    double axial[4], lateral[3];
    double tilt[3];
    unsigned weighty;
};

HD double parabola_peak(float before, float middle, float after) {
    const double curvature = 2.0 * (double)middle - before - after;
    if (!(curvature > 1e-6)) return 0.0;
    return fmin(fmax(0.5 * ((double)after - before) / curvature, -0.5), 0.5);
}

// Highest score of a block near a prediction: its value, axial and lateral lag.
HD float peak_near(const Work& w, int lateral, int axial, double axial_lag, double lateral_lag,
                   double axial_reach, double lateral_reach, double* axial_peak, double* lateral_peak) {
    const int axial_lags = (int)w.axial_lags, lateral_lags = (int)w.lateral_lags;
    const double a = axial_lag + axial_lags, l = lateral_lag + lateral_lags;
    float best = 0.0f;
    int best_a = -1, best_l = -1;
    const int first_l = (int)fmax(0.0, ceil(l - lateral_reach));
    const int last_l = (int)fmin(2.0 * lateral_lags, floor(l + lateral_reach));
    const int first_a = (int)fmax(0.0, ceil(a - axial_reach));
    const int last_a = (int)fmin(2.0 * axial_lags, floor(a + axial_reach));
    for (int lag = first_l; lag <= last_l; ++lag) {
        const float* volume = volume_of(w, lateral, axial, lag);
        for (int k = first_a; k <= last_a; ++k)
            if (volume[k] > best) {
                best = volume[k];
                best_a = k;
                best_l = lag;
            }
    }
    *axial_peak = *lateral_peak = 0.0;
    if (best_a < 0) return best;
    *axial_peak = best_a - axial_lags;
    *lateral_peak = best_l - lateral_lags;
    const float* volume = volume_of(w, lateral, axial, best_l);
    if (best_a > 0 && best_a < 2 * axial_lags)
        *axial_peak += parabola_peak(volume[best_a - 1], best, volume[best_a + 1]);
    if (best_l > 0 && best_l < 2 * lateral_lags)
        *lateral_peak += parabola_peak(volume_of(w, lateral, axial, best_l - 1)[best_a], best,
                                       volume_of(w, lateral, axial, best_l + 1)[best_a]);
    return best;
}

// The hypothesis with the k-th most votes, fitted to the peaks near it, becomes candidate k + 1.
// Grid: (hypotheses).
HD void propose_block(Block b, const Work& w, int, ProposeScratch& s) {
    if (!*w.widely || b.x >= w.n_hypotheses) return;
    const int candidate = 1 + b.x;
    FitPoints points = fit_points(w, candidate);
    points.n = (int)(w.wide_lateral * w.wide_axial);
    points.x = w.wide_x;
    points.z = w.wide_z;
    const double* ridge[2] = {w.wide_ridge, w.wide_ridge};
    each((int)w.n_tilts, [&](int k) {
        int before = 0;
        for (int j = 0; j < w.n_tilts; ++j)
            before += w.tilt_votes[j] > w.tilt_votes[k] ||
                      (w.tilt_votes[j] == w.tilt_votes[k] && j < k);
        if (before != b.x) return;
        const int where = (int)w.tilt_where[k], n_bottom = n_axial_lags(w);
        const double bottom = where % n_bottom - (int)w.axial_lags;
        const double top = where / n_bottom % n_tops(w) - (int)w.tops;
        const double lag = where / n_bottom / n_tops(w) - (int)w.lateral_lags;
        const double* tilt = w.tilts + 3 * k;
        s.axial[0] = 0.5 * (top + bottom);
        s.axial[1] = 0.5 * (tilt[0] + tilt[1]);
        s.axial[2] = 0.5 * (bottom - top);
        s.axial[3] = 0.5 * (tilt[1] - tilt[0]);
        s.lateral[0] = lag;
        s.lateral[1] = tilt[2];
        s.lateral[2] = 0.0;
    });
    for (int round = 0; round < 3; ++round) {
        const double axial_reach = round == 0 ? 2.5 : (round == 1 ? 2.0 : 1.6);
        const double lateral_reach = round == 2 ? 1.1 : 1.6;
        each(1, [&](int) { s.weighty = 0; });
        each(points.n, [&](int k) {
            double axial = 0.0, lateral = 0.0, axial_peak, lateral_peak;
            for (int a = 0; a < 4; ++a) axial += basis(points, k, a) * s.axial[a];
            for (int a = 0; a < 3; ++a) lateral += basis(points, k, a) * s.lateral[a];
            const float value = peak_near(w, k / (int)w.wide_axial, k % (int)w.wide_axial, axial,
                                          lateral, axial_reach, lateral_reach, &axial_peak,
                                          &lateral_peak);
            points.value[0][k] = (float)(axial_peak - axial);
            points.value[1][k] = (float)(lateral_peak - lateral);
            points.weight[0][k] = points.weight[1][k] = value * value;
            if (value * value > 0.0f) count(&s.weighty, 1);
        });
        if (s.weighty == 0) break;
        const double floors[2] = {PEAK_LAGS, PEAK_LAGS};
        robust_fit(points, floors, ridge, s.fit);
        each(1, [&](int) {
            for (int a = 0; a < 4; ++a) s.axial[a] += s.fit.solution[0][a];
            for (int a = 0; a < 3; ++a) s.lateral[a] += s.fit.solution[1][a];
        });
    }
    each(1, [&](int) {
        Candidate state = {};
        const double step = 2.0 * (double)w.decimation;
        for (int a = 0; a < 4; ++a) state.motion[a] = s.axial[a] * step;
        for (int a = 0; a < 3; ++a) state.motion[4 + a] = s.lateral[a];
        state.phase = TIGHT;
        w.candidates[candidate] = state;
    });
}

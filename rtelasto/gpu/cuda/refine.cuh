// Refinement of a motion: a state machine that takes one step after every measurement of the blocks
// (rtelasto/cpu/stretching/refine.py). The block that is the last to measure takes it, so that a step is one
// launch; for a candidate that is done it returns at once.

struct NoScratch {};

struct AdvanceScratch {
    FitScratch fit;
    int phase, finished;
    unsigned trusted;
};

struct ScoreScratch {
    double partial[SUM_PARTS];
    double echoes, squares;
};

struct RefineScratch {
    union {  // in turn
        MeasureScratch measure;
        AdvanceScratch advance;
        ScoreScratch score;
    };
    int phase, last;
};

HD FitPoints fit_points(const Work& w, int candidate) {
    FitPoints points;
    points.n = (int)w.n_blocks;
    points.x = w.block_x;
    points.z = w.block_z;
    for (int fit = 0; fit < 2; ++fit) {
        const long long at = (2 * candidate + fit) * w.n_blocks;
        points.value[fit] = w.fit_value + at;
        points.weight[fit] = w.fit_weight + at;
        points.robust[fit] = w.fit_robust + at;
        points.residual[fit] = w.fit_residual + at;
    }
    return points;
}

// Whether a change of the motion is below these samples and lines.
HD bool is_below(const float solution[2][4], double samples, double lines) {
    double axial = 0.0, lateral = 0.0;
    for (int i = 0; i < 4; ++i) axial += fabsf(solution[0][i]);
    for (int i = 0; i < 3; ++i) lateral += fabsf(solution[1][i]);
    return axial < samples && lateral < lines;
}

HD void move(Candidate* state, const float solution[2][4]) {
    for (int i = 0; i < 4; ++i) state->motion[i] += solution[0][i];
    for (int i = 0; i < 3; ++i) state->motion[4 + i] += solution[1][i];
}

// Candidate 0 starts from rest, the others wait for the wide search. Grid: 1.
HD void start_block(Block, const Work& w, int, NoScratch&) {
    each(N_CANDIDATES, [&](int k) {
        Candidate state = {};
        state.phase = k == 0 ? TIGHT : DONE;
        w.candidates[k] = state;
    });
}

// Takes the step after a measurement.
HD void advance(const Work& w, int candidate, AdvanceScratch& s) {
    Candidate* state = w.candidates + candidate;
    const FitPoints points = fit_points(w, candidate);
    const BlockMotion* blocks = w.blocks + candidate * w.n_blocks;
    const double* ridge[2] = {w.refine_ridge, w.refine_ridge + 4};
    each(1, [&](int) {
        s.phase = (int)state->phase;
        s.trusted = 0;
    });
    if (s.phase == FINAL) {
        each(1, [&](int) { state->phase = DONE; });
        return;
    }
    each(points.n, [&](int k) {
        for (int fit = 0; fit < 2; ++fit) {
            points.value[fit][k] = blocks[k].change[fit];
            points.weight[fit][k] = blocks[k].weight[fit];
        }
    });
    if (s.phase == TIGHT) {
        const double floors[2] = {TIGHT_SAMPLES, TIGHT_LINES};
        robust_fit(points, floors, ridge, s.fit);
        each(1, [&](int) {
            const bool converged = is_below(s.fit.solution, CONVERGED_SAMPLES, CONVERGED_LINES);
            state->settled = converged;
            if (!converged) {
                move(state, s.fit.solution);
                if (++state->round == TIGHT_ROUNDS) {
                    state->phase = LEVEL;
                    state->round = 0;
                }
            }
            s.finished = !converged;
        });
        // A converged motion has just been measured: levelling continues from that measurement.
        if (s.finished) return;
        each(1, [&](int) { state->round = 0; });
    }
    each(points.n, [&](int k) {
        const float worth = blocks[k].weight[0];
        const bool trusted = worth > (float)TRUSTED_INFORMATION;
        points.weight[0][k] = trusted ? fminf(worth, 1.0f) : 0.0f;
        if (trusted) count(&s.trusted, 1);
    });
    if (s.trusted == 0) {
        each(1, [&](int) { state->phase = DONE; });
        return;
    }
    const double floors[2] = {LEVELLING_SAMPLES, TIGHT_LINES};
    robust_fit(points, floors, ridge, s.fit);
    each(1, [&](int) {
        move(state, s.fit.solution);
        state->phase = LEVEL;
        if (++state->round == LEVELLING_ROUNDS) state->phase = FINAL;
        if (is_below(s.fit.solution, LEVEL_SAMPLES, LEVEL_LINES)) state->phase = DONE;
    });
}

// Mean square correlation over the blocks with an echo, and the fraction above a threshold.
HD void score(const Work& w, int candidate, ScoreScratch& s) {
    const BlockMotion* blocks = w.blocks + candidate * w.n_blocks;
    const int n = (int)w.n_blocks;
    sum_of(n, s.partial, [&](int k) { return blocks[k].correlation >= 0.0 ? 1.0 : 0.0; });
    each(1, [&](int) { s.echoes = s.partial[0]; });
    sum_of(n, s.partial, [&](int k) {
        return blocks[k].correlation >= 0.0 ? blocks[k].correlation * blocks[k].correlation : 0.0;
    });
    each(1, [&](int) { s.squares = s.partial[0]; });
    sum_of(n, s.partial, [&](int k) {
        return blocks[k].correlation >= ACCEPTED_CORRELATION ? 1.0 : 0.0;
    });
    each(1, [&](int) {
        Candidate* state = w.candidates + candidate;
        state->has_echo = s.echoes > 0.0;
        state->score = s.echoes > 0.0 ? s.squares / s.echoes : 0.0;
        state->explained = s.echoes > 0.0 ? s.partial[0] / s.echoes : 0.0;
    });
}

// Measures the blocks and takes the step; a candidate that is then done is scored, and the first one shows
// whether the wide search is needed. Grid: (axial blocks, lateral blocks, candidates from `step` on).
HD void refine_block(Block b, const Work& w, int step, RefineScratch& s) {
    const int candidate = step + b.z;
    Candidate* state = w.candidates + candidate;
    if (state->phase == DONE) return;
    measure(w, b.x, b.y, candidate, s.measure);
    if (!is_last((int)w.n_blocks, (unsigned*)&state->arrived, &s.last)) return;
    advance(w, candidate, s.advance);
    each(1, [&](int) { s.phase = (int)state->phase; });
    if (s.phase != DONE) return;
    score(w, candidate, s.score);
    each(1, [&](int) {
        const bool accepted = state->settled && state->explained >= ACCEPTED_FRACTION;
        if (candidate == 0) *w.widely = state->has_echo && !accepted;
    });
}

// The same motion in metres (GlobalMotion.elongation).
HD void in_metres(const Work& w, const double* motion, double* elongation) {
    const double x_m = w.half_width * w.line_pitch_m, z_m = w.half_depth * w.axial_step_m;
    const double centre = (w.start_depth_m + w.middle * w.axial_step_m) / z_m;
    const double a = motion[0] * w.axial_step_m, b = motion[1] * w.axial_step_m;
    const double c = motion[2] * w.axial_step_m, d = motion[3] * w.axial_step_m;
    elongation[0] = a - c * centre;
    elongation[1] = (b - d * centre) / x_m;
    elongation[2] = c / z_m;
    elongation[3] = d / (x_m * z_m);
    elongation[4] = (motion[4] - motion[6] * centre) * w.line_pitch_m;
    elongation[5] = motion[5] / w.half_width;
    elongation[6] = motion[6] * w.line_pitch_m / z_m;
}

HD double axial_strain_at(const double* elongation, double x) {
    return elongation[2] + elongation[3] * x;
}

HD double axial_displacement_at(const double* elongation, double x, double z) {
    return elongation[0] + elongation[1] * x + axial_strain_at(elongation, x) * z;
}

HD double lateral_displacement_at(const double* elongation, double x, double z) {
    return elongation[4] + elongation[5] * x + elongation[6] * z;
}

// More than a hand-held press causes between two frames.
HD bool plausible(const Work& w, const double* elongation) {
    const double edge = 0.5 * (double)(w.n_lines - 1) * w.line_pitch_m;
    const double deepest_m = w.start_depth_m + 2.0 * w.middle * w.axial_step_m;
    for (int side = -1; side <= 1; side += 2) {
        const double x = side * edge;
        if (!(fabs(axial_strain_at(elongation, x)) <= LARGEST_STRAIN)) return false;
        if (!(fabs(axial_displacement_at(elongation, x, w.start_depth_m)) <= LARGEST_SHIFT_M))
            return false;
        for (int end = 0; end < 2; ++end) {
            const double z = end == 0 ? w.start_depth_m : deepest_m;
            const double lines = lateral_displacement_at(elongation, x, z) / w.line_pitch_m;
            if (!(fabs(lines) <= LARGEST_SHIFT_LINES)) return false;
        }
    }
    return true;
}

// The elongation of the pair: that of the candidate that correlates best, or none. Grid: 1.
HD void conclude_block(Block, const Work& w, int, NoScratch&) {
    each(1, [&](int) {
        int best = 0;
        if (*w.widely)
            for (int k = 1; k < N_CANDIDATES && k <= w.n_hypotheses; ++k)
                if (w.candidates[k].score > w.candidates[best].score + MIN_GAIN) best = k;
        const double correlation = sqrt(w.candidates[best].score);
        double elongation[7];
        in_metres(w, w.candidates[best].motion, elongation);
        const bool kept = correlation >= CHANCE_CORRELATION && plausible(w, elongation);
        for (int i = 0; i < 7; ++i) w.summary->elongation[i] = kept ? elongation[i] : 0.0;
        w.summary->fit_correlation = correlation;
        w.summary->searched_widely = (double)*w.widely;
    });
}

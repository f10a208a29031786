// Strain that contradicts the displacement, and tissue that left the image (rtelasto/cpu/consistency.py).
// Three values a pixel are in `agreement`, whose sums are no longer needed: the difference of the change of
// the displacement and the sum of the strain over a window, times the correlation; the correlation; and the
// change of the strain.

// What the strain over rows low … high of a line leaves of the change of the displacement. Strain that is
// not a number counts as 0.
HD float unexplained(const Work& w, long long line, int low, int high) {
    const float* strain = w.strain + line;
    const float* displacement = w.displacement_m + line;
    float total = 0.0f;
    for (int k = low; k <= high; ++k) {
        const float share = 0.5f * (float)((k > low) + (k < high));
        if (strain[k] == strain[k]) total += share * strain[k];
    }
    return displacement[high] - displacement[low] - (float)w.row_step_m * total;
}

// Grid: (chunks of the output).
HD void gaps_block(Block b, const Work& w, int, NoScratch&) {
    const int n_rows = (int)w.n_rows, half = (int)w.half_rows;
    const long long first = (long long)b.x * SCALE_CHUNK, left = w.n_lines * n_rows - first;
    each(left < SCALE_CHUNK ? (int)left : SCALE_CHUNK, [&](int i) {
        const long long at = first + i, line = at / n_rows * n_rows;
        const int row = (int)(at - line);
        const float gap = unexplained(w, line, most(row - half, 0), least(row + half, n_rows - 1));
        const bool known = gap > -1.0f && gap < 1.0f;
        const float c = known ? w.correlation[at] : 0.0f;
        w.agreement[3 * at] = known ? c * gap : 0.0f;
        w.agreement[3 * at + 1] = c;
    });
}

// The correlation is lowered where the difference is large, and near an end where tissue left the image. If
// the displacement is reliable at both ends of the window, the strain is to become the slope of that.
// Grid: (chunks of the output).
HD void settle_block(Block b, const Work& w, int, NoScratch&) {
    const int n_rows = (int)w.n_rows, half = (int)w.half_rows, slope_half = (int)w.slope_half_rows;
    const long long first = (long long)b.x * SCALE_CHUNK, left = w.n_lines * n_rows - first;
    const float step_m = (float)w.row_step_m, last_m = step_m * (float)(n_rows - 1);
    each(left < SCALE_CHUNK ? (int)left : SCALE_CHUNK, [&](int i) {
        const long long at = first + i;
        const int line = (int)(at / n_rows), row = (int)(at % n_rows);
        const float* displacement = w.displacement_m + at - row;
        const int low = most(row - half, 0), high = least(row + half, n_rows - 1);
        const int sides[2] = {most(line - SIDE_LINES, 0), least(line + SIDE_LINES, (int)w.n_lines - 1)};
        float total = 0.0f, weight = 0.0f;
        for (long long k = sides[0]; k <= sides[1]; ++k) {
            total += w.agreement[3 * (k * n_rows + row)];
            weight += w.agreement[3 * (k * n_rows + row) + 1];
        }
        float excess = 0.0f, change = 0.0f;
        if (weight > 0.0f)
            excess = within(fabsf(total) / (weight * (float)w.normal_gap_m) - 1.0f, 0.0f, 1.0f);
        if (excess > 0.0f) {
            float ends = 0.0f;
            for (long long k = sides[0]; k <= sides[1]; ++k)
                ends += fminf(w.agreement[3 * (k * n_rows + low) + 1],
                              w.agreement[3 * (k * n_rows + high) + 1]);
            const int below = most(row - slope_half, 0), above = least(row + slope_half, n_rows - 1);
            const float missing =
                unexplained(w, at - row, below, above) / (step_m * (float)(above - below));
            if (ends >= (float)RELIABLE_CORRELATION * (float)(sides[1] - sides[0] + 1) &&
                missing > -1.0f && missing < 1.0f)
                change = excess * missing;
        }
        w.agreement[3 * at + 2] = change;
        const float partner_m = step_m * (float)row + displacement[row];
        const bool lost =
            (displacement[0] < -step_m && partner_m < (float)BAND_M) ||
            (displacement[n_rows - 1] > step_m && partner_m > last_m - (float)BAND_M);
        w.correlation[at] *= lost ? 0.0f : 1.0f - excess;
    });
}

// The strain, changed after all pixels have been compared. Grid: (chunks of the output).
HD void follow_block(Block b, const Work& w, int, NoScratch&) {
    const long long first = (long long)b.x * SCALE_CHUNK, left = w.n_lines * w.n_rows - first;
    each(left < SCALE_CHUNK ? (int)left : SCALE_CHUNK, [&](int i) {
        const float change = w.agreement[3 * (first + i) + 2];
        if (change != 0.0f) w.strain[first + i] += change;
    });
}

// Robust least-squares fit of a motion to the blocks (rtelasto/cpu/stretching/global_motion.py), the axial
// and the lateral fit in parallel. In single precision, unlike on the CPU: what is fitted are changes of a
// motion that is kept in double precision, and most GPUs do double precision at a small part of their rate.

#define FIT_PARTS 64
#define FIT_SUMS 14  // 10 of the upper half of a 4 × 4 matrix, 4 of its right side

struct FitScratch {
    float partial[2][FIT_PARTS][FIT_SUMS];
    float matrix[2][4][4], right[2][4], solution[2][4];
    float half_weight[2];
    float least_heavy[2][FIT_PARTS];
    float scale[2];
    int done[2];
};

// Positions of the points of a fit, x and z from -1 to 1, and the working arrays of n points each.
struct FitPoints {
    int n;
    const double* x;
    const double* z;
    float* value[2];
    float* weight[2];
    float* robust[2];
    float* residual[2];
    float* heavy[2];  // the residual of points up to which half of the weight lies
};

HD int fit_size(int fit) { return fit == 0 ? 4 : 2; }

HD float basis(const FitPoints& points, int k, int function) {
    const float x = function & 1 ? (float)points.x[k] : 1.0f;
    return function & 2 ? x * (float)points.z[k] : x;
}

// Solves the symmetric positive definite matrix·solution = right (Cholesky); the matrix is overwritten.
HD void solve_symmetric(float matrix[4][4], float* right, int n) {
    for (int i = 0; i < n; ++i)
        for (int j = 0; j <= i; ++j) {
            float total = matrix[i][j];
            for (int k = 0; k < j; ++k) total -= matrix[i][k] * matrix[j][k];
            matrix[i][j] = i > j ? total / matrix[j][j] : sqrtf(fmaxf(total, 1e-12f));
        }
    for (int i = 0; i < n; ++i) {
        for (int k = 0; k < i; ++k) right[i] -= matrix[i][k] * right[k];
        right[i] /= matrix[i][i];
    }
    for (int i = n - 1; i >= 0; --i) {
        for (int k = i + 1; k < n; ++k) right[i] -= matrix[k][i] * right[k];
        right[i] /= matrix[i][i];
    }
}

// Weight of all residuals up to that of point k, equal ones in the order of the points.
HD float weight_up_to(const FitPoints& points, int fit, int k) {
    const float* residual = points.residual[fit];
    const float* weight = points.weight[fit];
    const float own = residual[k];
    float total = 0.0f;
    for (int j = 0; j < points.n; ++j)
        if (residual[j] < own || (residual[j] == own && j <= k)) total += weight[j];
    return total;
}

// Weighted least squares with Geman–McClure weights; the result is s.solution. A residual of scale_floor is
// not an outlier; ridge keeps coefficients at 0 that the points do not determine.
HD void robust_fit(const FitPoints& points, const double scale_floor[2], const double* ridge[2],
                   FitScratch& s) {
    const int n = points.n;
    each(2 * FIT_PARTS, [&](int i) {
        const int fit = i / FIT_PARTS, part = i % FIT_PARTS;
        float total = 0.0f;
        for (int k = part; k < n; k += FIT_PARTS) {
            points.robust[fit][k] = points.weight[fit][k];
            total += points.weight[fit][k];
        }
        s.partial[fit][part][0] = total;
    });
    each(2, [&](int fit) {
        float total = 0.0f;
        for (int part = 0; part < FIT_PARTS; ++part) total += s.partial[fit][part][0];
        s.half_weight[fit] = 0.5f * total;
        s.done[fit] = 0;
        for (int i = 0; i < 4; ++i) s.solution[fit][i] = 0.0f;
    });
    for (int round = 0; round < FIT_ROUNDS; ++round) {
        if (s.done[0] && s.done[1]) break;
        each(2 * FIT_PARTS, [&](int i) {
            const int fit = i / FIT_PARTS, part = i % FIT_PARTS;
            if (s.done[fit]) return;
            float sum[FIT_SUMS];
            for (int q = 0; q < FIT_SUMS; ++q) sum[q] = 0.0f;
            for (int k = part; k < n; k += FIT_PARTS) {
                const float robust = points.robust[fit][k], value = points.value[fit][k];
                if (!(robust > 0.0f)) continue;
                float f[4];
                for (int a = 0; a < 4; ++a) f[a] = basis(points, k, a);
                int q = 0;
                for (int a = 0; a < 4; ++a)
                    for (int c = 0; c <= a; ++c) sum[q++] += robust * f[a] * f[c];
                for (int a = 0; a < 4; ++a) sum[q++] += robust * f[a] * value;
            }
            for (int q = 0; q < FIT_SUMS; ++q) s.partial[fit][part][q] = sum[q];
        });
        each(2 * FIT_SUMS, [&](int i) {
            const int fit = i / FIT_SUMS, q = i % FIT_SUMS;
            if (s.done[fit]) return;
            float total = 0.0f;
            for (int part = 0; part < FIT_PARTS; ++part) total += s.partial[fit][part][q];
            if (q >= 10) {
                s.right[fit][q - 10] = total;
                return;
            }
            int a = 0;
            while ((a + 1) * (a + 2) / 2 <= q) ++a;
            const int c = q - a * (a + 1) / 2;
            s.matrix[fit][a][c] = total + (a == c ? (float)ridge[fit][a] : 0.0f);
        });
        each(2, [&](int fit) {
            if (s.done[fit]) return;
            solve_symmetric(s.matrix[fit], s.right[fit], fit_size(fit));
            float moved = 0.0f;
            for (int i = 0; i < fit_size(fit); ++i) {
                moved = fmaxf(moved, fabsf(s.right[fit][i] - s.solution[fit][i]));
                s.solution[fit][i] = s.right[fit][i];
            }
            s.done[fit] = moved < 1e-3f * (float)scale_floor[fit];
        });
        each(2 * n, [&](int i) {
            const int fit = i / n, k = i % n;
            if (s.done[fit]) return;
            float fitted = 0.0f;
            for (int a = 0; a < fit_size(fit); ++a)
                fitted += basis(points, k, a) * s.solution[fit][a];
            points.residual[fit][k] = fabsf(points.value[fit][k] - fitted);
        });
        // The weighted median is the smallest residual up to which half of the weight lies.
        each(2 * n, [&](int i) {
            const int fit = i / n, k = i % n;
            if (s.done[fit]) return;
            const bool heavy = weight_up_to(points, fit, k) >= s.half_weight[fit];
            points.heavy[fit][k] = heavy ? points.residual[fit][k] : 3e38f;
        });
        each(2 * FIT_PARTS, [&](int i) {
            const int fit = i / FIT_PARTS, part = i % FIT_PARTS;
            float least = 3e38f;
            if (!s.done[fit])
                for (int k = part; k < n; k += FIT_PARTS)
                    least = fminf(least, points.heavy[fit][k]);
            s.least_heavy[fit][part] = least;
        });
        for (int half = FIT_PARTS / 2; half > 0; half /= 2)
            each(2 * half, [&](int i) {
                float* least = s.least_heavy[i / half] + i % half;
                *least = fminf(*least, least[half]);
            });
        each(2, [&](int fit) {
            s.scale[fit] = fmaxf(1.4826f * s.least_heavy[fit][0], (float)scale_floor[fit]);
        });
        each(2 * n, [&](int i) {
            const int fit = i / n, k = i % n;
            if (s.done[fit]) return;
            const float outlying = points.residual[fit][k] / (2.0f * s.scale[fit]);
            const float square = 1.0f + outlying * outlying;
            points.robust[fit][k] = points.weight[fit][k] / (square * square);
        });
    }
}

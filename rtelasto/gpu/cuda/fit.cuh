// Robust least-squares fit of a motion to the blocks (rtelasto/cpu/stretching/global_motion.py), the axial
// and the lateral fit in parallel. In single precision, unlike on the CPU: what is fitted are changes of a
// motion that is kept in double precision, and most GPUs do double precision at a small part of their rate.

#define FIT_PARTS 128  // of either fit, each the sum over some of the points
#define FIT_GROUPS 8   // of the parts
#define FIT_SUMS 14    // 10 of the lower half of a 4 × 4 matrix, 4 of its right side
#define FIT_UNITS 1073741824.0f  // of weight in all, which a median counts in whole numbers

struct FitScratch {
    union {  // in turn
        float part[2][FIT_PARTS][FIT_SUMS];
        MedianScratch<2, 2> median;
    };
    float group[2][FIT_GROUPS][FIT_SUMS];
    float matrix[2][4][4], right[2][4], solution[2][4];
    float units[2];  // of a weight of 1
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
};

HD int fit_size(int fit) { return fit == 0 ? 4 : 3; }

HD float basis(const FitPoints& points, int k, int function) {
    const float x = function & 1 ? (float)points.x[k] : 1.0f;
    return function & 2 ? x * (float)points.z[k] : x;
}

// Solves the symmetric positive definite matrix·solution = right (Cholesky); the matrix is overwritten, its
// diagonal by the inverse of the factor's, so that nothing is divided.
HD void solve_symmetric(float matrix[4][4], float* right, int n) {
    for (int i = 0; i < n; ++i)
        for (int j = 0; j <= i; ++j) {
            float total = matrix[i][j];
            for (int k = 0; k < j; ++k) total -= matrix[i][k] * matrix[j][k];
            matrix[i][j] = i > j ? total * matrix[j][j] : inverse_root(fmaxf(total, 1e-12f));
        }
    for (int i = 0; i < n; ++i) {
        for (int k = 0; k < i; ++k) right[i] -= matrix[i][k] * right[k];
        right[i] *= matrix[i][i];
    }
    for (int i = n - 1; i >= 0; --i) {
        for (int k = i + 1; k < n; ++k) right[i] -= matrix[k][i] * right[k];
        right[i] *= matrix[i][i];
    }
}

// Sums over the points of both fits, in two levels: total(fit, q) gets sum q of SUMS to which
// add(fit, k, sum) adds point k. Fits that are done are left out.
template <int SUMS, class Add, class Total>
HD void sum_points(int n, FitScratch& s, Add add, Total total) {
    each(2 * FIT_PARTS, [&](int i) {
        const int fit = i / FIT_PARTS, part = i % FIT_PARTS;
        if (s.done[fit]) return;
        float sum[SUMS];
        for (int q = 0; q < SUMS; ++q) sum[q] = 0.0f;
        for (int k = part; k < n; k += FIT_PARTS) add(fit, k, sum);
        for (int q = 0; q < SUMS; ++q) s.part[fit][part][q] = sum[q];
    });
    each(2 * FIT_GROUPS * SUMS, [&](int i) {
        const int q = i % SUMS, group = i / SUMS % FIT_GROUPS, fit = i / SUMS / FIT_GROUPS;
        float sum = 0.0f;
        for (int part = group; part < FIT_PARTS; part += FIT_GROUPS) sum += s.part[fit][part][q];
        s.group[fit][group][q] = sum;
    });
    each(2 * SUMS, [&](int i) {
        const int fit = i / SUMS, q = i % SUMS;
        if (s.done[fit]) return;
        float sum = 0.0f;
        for (int group = 0; group < FIT_GROUPS; ++group) sum += s.group[fit][group][q];
        total(fit, q, sum);
    });
}

// The place of a residual, which is not negative, in three bytes: exact to 2⁻¹⁶, more than a scale needs.
HD unsigned place_of_size(float residual) { return order_of(residual) << 1 >> 8; }

HD float size_at(unsigned place) { return from_order(0x80000000u | place << 7); }

// Weighted least squares with Geman–McClure weights; the result is s.solution. A residual of scale_floor is
// not an outlier; ridge keeps coefficients at 0 that the points do not determine.
HD void robust_fit(const FitPoints& points, const double scale_floor[2], const double* ridge[2],
                   FitScratch& s) {
    const int n = points.n;
    each(2, [&](int fit) {
        s.done[fit] = 0;
        for (int i = 0; i < 4; ++i) s.solution[fit][i] = 0.0f;
    });
    sum_points<1>(
        n, s,
        [&](int fit, int k, float* sum) {
            points.robust[fit][k] = points.weight[fit][k];
            sum[0] += points.weight[fit][k];
        },
        [&](int fit, int, float sum) { s.units[fit] = sum > 0.0f ? FIT_UNITS / sum : 0.0f; });
    for (int round = 0; round < FIT_ROUNDS; ++round) {
        sum_points<FIT_SUMS>(
            n, s,
            [&](int fit, int k, float* sum) {
                const float robust = points.robust[fit][k], value = points.value[fit][k];
                if (!(robust > 0.0f)) return;
                float f[4];
                for (int a = 0; a < 4; ++a) f[a] = basis(points, k, a);
                int q = 0;
                for (int a = 0; a < 4; ++a)
                    for (int c = 0; c <= a; ++c) sum[q++] += robust * f[a] * f[c];
                for (int a = 0; a < 4; ++a) sum[q++] += robust * f[a] * value;
            },
            [&](int fit, int q, float sum) {
                if (q >= 10) {
                    s.right[fit][q - 10] = sum;
                    return;
                }
                int a = 0;
                while ((a + 1) * (a + 2) / 2 <= q) ++a;
                const int c = q - a * (a + 1) / 2;
                s.matrix[fit][a][c] = sum + (a == c ? (float)ridge[fit][a] : 0.0f);
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
        if (s.done[0] && s.done[1]) break;
        each(2 * n, [&](int i) {
            const int fit = i / n, k = i % n;
            float fitted = 0.0f;
            for (int a = 0; a < fit_size(fit); ++a)
                fitted += basis(points, k, a) * s.solution[fit][a];
            points.residual[fit][k] = fabsf(points.value[fit][k] - fitted);
        });
        weighted_medians<3, 1>(
            n, s.median, [&](int fit, int k) { return place_of_size(points.residual[fit][k]); },
            [&](int fit, int k, unsigned) {
                return (unsigned)(points.weight[fit][k] * s.units[fit] + 0.5f);
            });
        each(2, [&](int fit) {
            s.scale[fit] = fmaxf(1.4826f * size_at(s.median.place[fit]), (float)scale_floor[fit]);
        });
        each(2 * n, [&](int i) {
            const int fit = i / n, k = i % n;
            const float outlying = points.residual[fit][k] / (2.0f * s.scale[fit]);
            const float square = 1.0f + outlying * outlying;
            points.robust[fit][k] = points.weight[fit][k] / (square * square);
        });
    }
}

// The functions that are not arithmetic, as polynomials fitted by least squares with reweighting towards equal
// errors.

// Σ cᵢ xⁱ
template <int count>
VT_INLINE F polynomial(const float (&c)[count], F x) {
    F y = V::all(c[count - 1]);
    VT_UNROLL for (int i = count - 2; i >= 0; i--)
        y = V::fma(y, x, V::all(c[i]));
    return y;
}

// 2ˣ for x ≤ 126, to 8e-8 of itself; below 2⁻¹²⁶ it is 2⁻¹²⁶. NaN stays NaN.
VT_INLINE F power_of_two(F x) {
    static constexpr float fraction[] = {1.0000001192092896f,  0.6931469440460205f,   0.24022120237350464f,
                                         0.05550713464617729f, 0.009675541892647743f, 0.001327647129073739f};
    x = V::max(V::all(-126.0f), x);
    const F whole = V::nearest(x);
    return V::times_power(polynomial(fraction, V::sub(x, whole)), whole);
}

// x Φ(x), Φ the normal distribution function: exact to float32 rounding. Φ(x) - ½ = x P(x²) / Q(x²), |x| ≤ 5.6.
VT_INLINE F gelu_exact(F x) {
    static constexpr float over[] = {0.39894190430641174f,    0.035847898572683334f,  0.004805463366210461f,
                                     0.00019016265287064016f, 6.590638804482296e-06f, 2.1710079067815968e-08f};
    static constexpr float under[] = {1.0f,
                                      0.2565200924873352f,
                                      0.029804369434714317f,
                                      0.0020033956971019506f,
                                      8.101341518340632e-05f,
                                      1.1851432191178901e-06f};
    const F half = V::all(0.5f);
    const F c = V::max(V::all(-5.6f), V::min(V::all(5.6f), x));
    const F square = V::mul(c, c);
    const F above = V::div(V::mul(c, polynomial(over, square)), polynomial(under, square));
    return V::mul(x, V::add(half, V::max(V::sub(V::zero(), half), V::min(half, above))));
}

// x σ(x), to float32 rounding
VT_INLINE F silu(F x) {
    const F exponent = V::min(V::all(126.0f), V::mul(x, V::all(-1.4426950408889634f)));
    return V::div(x, V::add(V::all(1.0f), power_of_two(exponent)));
}

// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), which is x σ of twice the tanh's argument
VT_INLINE F gelu_tanh(F x) {
    const F square = V::mul(x, x);
    const F twice = V::mul(x, V::fma(square, V::all(0.0713548162726f), V::all(1.5957691216057f)));
    const F exponent = V::min(V::all(126.0f), V::mul(twice, V::all(-1.4426950408889634f)));
    return V::div(x, V::add(V::all(1.0f), power_of_two(exponent)));
}

VT_INLINE F relu(F x) { return V::max(V::zero(), x); }

// gelu_exact to 1.5e-4, for values that are quantised in steps many times that.
VT_INLINE F gelu_near(F x) {
    static constexpr float odd[] = {0.3980855345726013f,     -0.06486935168504715f, 0.008913726545870304f,
                                    -0.0008444987470284104f, 5.12358128617052e-05f, -1.7704165884424583e-06f,
                                    2.626984318965242e-08f};
    const F c = V::max(V::all(-3.9f), V::min(V::all(3.9f), x));
    return V::mul(x, V::fma(c, polynomial(odd, V::mul(c, c)), V::all(0.5f)));
}

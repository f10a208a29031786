function meta = rtelasto_iq_meta(Trans, Resource, Receive, PData)
%RTELASTO_IQ_META  How the IQ pixels of an inter buffer describe themselves to rtelasto.
%   Depth step, line pitch and origin are those of PData, in wavelengths of Trans.frequency; the
%   demodulation frequency is Receive.demodFrequency, else Trans.frequency.
%   The phase of the pixels is taken to turn with depth as RF does (carrier 'kept'). With pixels half
%   a wavelength apart, which rtelasto_sequence asks for, either convention gives the same RF.
c = 1540;
if isfield(Resource.Parameters, 'speedOfSound')
    c = Resource.Parameters.speedOfSound;
end
wavelength_m = c / (1e6 * Trans.frequency);
frequency = Trans.frequency;
if isfield(Receive, 'demodFrequency') && ~isempty(Receive(1).demodFrequency)
    frequency = Receive(1).demodFrequency;
end
meta.kind = 'iq';
meta.sampling_freq_hz = c / (2 * PData(1).PDelta(3) * wavelength_m);
meta.center_freq_hz = 1e6 * frequency;
meta.line_pitch_m = PData(1).PDelta(1) * wavelength_m;
meta.start_depth_m = PData(1).Origin(3) * wavelength_m;
meta.sound_speed_m_s = c;
meta.demodulation_freq_hz = 1e6 * frequency;
meta.carrier = 'kept';
end
